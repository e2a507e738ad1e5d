// The dialogs about users. Each comes when somebody opens it for the first time: a list, or a page, is
// there without them.

import { lazyRouteComponent } from "@tanstack/react-router";
import { type ComponentProps, type ReactNode, Suspense, useState } from "react";

const Role = lazyRouteComponent(() => import("./RoleDialog.tsx"), "RoleDialog");
const EditUser = lazyRouteComponent(() => import("./EditUserDialog.tsx"), "EditUserDialog");
const Bulk = lazyRouteComponent(() => import("./BulkDialog.tsx"), "BulkDialog");

/** They are about to be opened. */
export function preloadDialogs(): void {
  for (const dialog of [Role, EditUser]) void dialog.preload?.();
}

export function RoleDialog(props: ComponentProps<typeof Role>) {
  return (
    <OnDemand isWanted={props.user !== undefined}>
      <Role {...props} />
    </OnDemand>
  );
}

export function EditUserDialog(props: ComponentProps<typeof EditUser>) {
  return (
    <OnDemand isWanted={props.user !== undefined}>
      <EditUser {...props} />
    </OnDemand>
  );
}

export function BulkDialog(props: ComponentProps<typeof Bulk>) {
  return (
    <OnDemand isWanted={props.isOpen}>
      <Bulk {...props} />
    </OnDemand>
  );
}

/** Once it was wanted it stays, so that it can close in its own time. */
function OnDemand({ isWanted, children }: { isWanted: boolean; children: ReactNode }) {
  const [wasWanted, setWasWanted] = useState(false);
  if (isWanted && !wasWanted) setWasWanted(true);
  return wasWanted && <Suspense fallback={null}>{children}</Suspense>;
}
