import { Menu as Base } from "@base-ui/react/menu";
import type { ReactElement, ReactNode } from "react";
import { classes } from "./classes.ts";
import styles from "./popup.module.css";

export interface MenuEntry {
  label: string;
  icon?: ReactNode;
  onSelect: () => void;
  isDangerous?: boolean;
  isDisabled?: boolean;
  /** A word more below the label, such as why it cannot be done. */
  hint?: string | undefined;
}

/** A list of things to do, behind the button that `trigger` is. */
export function Menu({ trigger, entries }: { trigger: ReactElement; entries: MenuEntry[] }) {
  return (
    <Base.Root>
      <Base.Trigger render={trigger} />
      <Popup entries={entries} />
    </Base.Root>
  );
}

/** What ties many buttons to one menu, as in the rows of a long list. */
export type MenuHandle<T> = Base.Handle<T>;
export const newMenuHandle = <T,>(): MenuHandle<T> => Base.createHandle<T>();

/** One of the buttons; `subject`: what it is about. */
export function SharedMenuTrigger<T>(props: {
  handle: MenuHandle<T>;
  subject: T;
  trigger: ReactElement;
}) {
  return <Base.Trigger handle={props.handle} payload={props.subject} render={props.trigger} />;
}

/** The menu that they open. */
export function SharedMenu<T>(props: {
  handle: MenuHandle<T>;
  entriesOf: (subject: T) => MenuEntry[];
  /** For what may be needed next. */
  onOpen?: () => void;
}) {
  return (
    <Base.Root handle={props.handle} onOpenChange={(isOpen) => isOpen && props.onOpen?.()}>
      {({ payload }) => <Popup entries={payload === undefined ? [] : props.entriesOf(payload)} />}
    </Base.Root>
  );
}

function Popup({ entries }: { entries: MenuEntry[] }) {
  return (
    <Base.Portal>
      <Base.Positioner className={styles.positioner} sideOffset={4} align="end">
        <Base.Popup className={styles.popup}>
          {entries.map((entry) => (
            <Base.Item
              key={entry.label}
              disabled={entry.isDisabled ?? false}
              className={classes(styles.item, entry.isDangerous && styles.dangerous)}
              onClick={entry.onSelect}
            >
              {entry.icon}
              <span className={styles.entry}>
                {entry.label}
                {entry.hint && <span className={styles.hint}>{entry.hint}</span>}
              </span>
            </Base.Item>
          ))}
        </Base.Popup>
      </Base.Positioner>
    </Base.Portal>
  );
}
