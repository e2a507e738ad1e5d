import { Link } from "@tanstack/react-router";
import { countOf, Notice } from "../ui/index.ts";

/** Roles are no events, and cannot be replayed; but whoever looks for what is dead looks here. */
export function DeadRoles({ nRoles }: { nRoles: number }) {
  if (nRoles === 0) return null;
  return (
    <Notice tone="warning">
      Besides these events, {countOf(nRoles, "role")} that {nRoles === 1 ? "was" : "were"} set here
      never reached Clerk, which refused {nRoles === 1 ? "it" : "them"} or gave no answer for a day.
      Set the role of such a user again, or have a comparison take back what Clerk has.{" "}
      <Link to="/admin/users" search={{ clerkSync: "dead" }}>
        Show the users
      </Link>
    </Notice>
  );
}
