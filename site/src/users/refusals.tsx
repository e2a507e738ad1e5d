import { ApiError } from "../api/client.ts";
import type { Role } from "../api/types.ts";
import { Notice, sentenceOf } from "../ui/index.ts";

/** What somebody can do about a role that was refused; none if the server's sentence says all. */
function adviceOf(error: unknown, role: Role | undefined): string | undefined {
  if (!(error instanceof ApiError)) return undefined;
  switch (error.code) {
    case "role_owned_by_directory":
      return "It is set in the directory that the organization's sign-in comes from, and follows from there.";
    case "last_admin":
      return "Without an admin, nobody could use this panel. Close this, set ADMIN for somebody else, and come back.";
    case "role_changed":
      return role && `It is ${role} now. Decide again.`;
    default:
      return undefined;
  }
}

/** Why the role was not set, in the server's words, and what to do. `role`: the one they have. */
export function Refusal({ error, role }: { error: unknown; role: Role | undefined }) {
  const advice = adviceOf(error, role);
  return (
    <Notice tone={advice ? "warning" : "bad"}>
      <span role="alert">
        {sentenceOf(error)} {advice}
      </span>
    </Notice>
  );
}

/** Whether the dialog has more to say than the server. */
export function isExplained(error: unknown): boolean {
  return adviceOf(error, "STUDENT") !== undefined;
}
