import { Ellipsis, History, Pencil, RefreshCw, UserCog } from "lucide-react";
import type { User } from "../api/types.ts";
import {
  IconButton,
  type MenuEntry,
  type MenuHandle,
  SharedMenu,
  SharedMenuTrigger,
} from "../ui/index.ts";
import { preloadDialogs } from "./dialogs.tsx";
import { nameOf } from "./words.ts";

/** What can be done with a user. */
export interface UserActions {
  updateRole: (user: User) => void;
  edit: (user: User) => void;
  sync: (user: User) => void;
  showHistory: (user: User) => void;
}

/** The three dots of a row. */
export function UserMenuButton({ user, handle }: { user: User; handle: MenuHandle<User> }) {
  return (
    <SharedMenuTrigger
      handle={handle}
      subject={user}
      trigger={
        <IconButton label={`Actions for ${nameOf(user)}`}>
          <Ellipsis size={18} aria-hidden />
        </IconButton>
      }
    />
  );
}

/** The menu behind all of them. */
export function UserMenu(props: { handle: MenuHandle<User>; actions: UserActions }) {
  const { handle, actions } = props;
  return (
    <SharedMenu
      handle={handle}
      entriesOf={(user) => entriesOf(user, actions)}
      onOpen={preloadDialogs}
    />
  );
}

function entriesOf(user: User, actions: UserActions): MenuEntry[] {
  const isDeleted = user.state === "deleted";
  const gone = isDeleted ? "This user is deleted." : undefined;
  const unknownToClerk = user.clerkId === null ? "This user has no Clerk account." : undefined;
  const noSync = gone ?? unknownToClerk;
  return [
    {
      label: "Update role",
      icon: <UserCog size={16} aria-hidden />,
      onSelect: () => actions.updateRole(user),
      isDisabled: isDeleted,
      hint: gone,
    },
    {
      label: "Edit",
      icon: <Pencil size={16} aria-hidden />,
      onSelect: () => actions.edit(user),
      isDisabled: isDeleted,
      hint: gone,
    },
    {
      label: "Sync now",
      icon: <RefreshCw size={16} aria-hidden />,
      onSelect: () => actions.sync(user),
      isDisabled: noSync !== undefined,
      hint: noSync,
    },
    {
      label: "History",
      icon: <History size={16} aria-hidden />,
      onSelect: () => actions.showHistory(user),
    },
  ];
}
