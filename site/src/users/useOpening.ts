import { useCallback, useState } from "react";
import type { User } from "../api/types.ts";

interface Opening {
  /** For whom; nobody while it is closed. */
  user: User | undefined;
  /** Counts, since the same user may be opened again before the server has answered. */
  n: number;
}

/** For whom a dialog is open, and the how manieth time. */
export function useOpening() {
  const [opening, setOpening] = useState<Opening>({ user: undefined, n: 0 });
  const open = useCallback((user: User) => setOpening(({ n }) => ({ user, n: n + 1 })), []);
  const close = useCallback(() => setOpening(({ n }) => ({ user: undefined, n })), []);
  /** The same user with other values, in the same opening. */
  const renew = useCallback(
    (user: User) => setOpening((now) => (now.user?.id === user.id ? { ...now, user } : now)),
    [],
  );
  return { ...opening, open, close, renew };
}
