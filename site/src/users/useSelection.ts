import { useCallback, useMemo, useState } from "react";
import type { Api } from "../api/client.ts";
import type { User, UserFilter, UserPage } from "../api/types.ts";
import { useApi } from "../auth/session.ts";

/** So many users can be selected at once. */
export const MAX_SELECTED = 5_000;
/** The largest page that the server gives. */
const PAGE = 500;

type Users = ReadonlyMap<string, User>;
const NOBODY: Users = new Map();

/** Who is selected: among the users that match the filter, also of pages that are not loaded. */
export function useSelection(filter: UserFilter, loaded: User[]) {
  const api = useApi();
  const [kept, setKept] = useState({ key: "", users: NOBODY });
  // Another filter shows others: nobody shall be changed who is out of sight.
  const key = JSON.stringify({ ...filter, sort: undefined });
  const chosen = kept.key === key ? kept.users : NOBODY;
  // Who is loaded is known better than when they were selected.
  const users = useMemo(() => {
    const fresh = byId(loaded);
    return byId([...chosen.values()].map((user) => fresh.get(user.id) ?? user));
  }, [chosen, loaded]);

  const selected = useMemo(
    () => Object.fromEntries([...users.keys()].map((id) => [id, true as const])),
    [users],
  );
  const select = (ids: Record<string, boolean>) => {
    const known = new Map([...users, ...loaded.map((user) => [user.id, user] as const)]);
    const chosen = Object.keys(ids).flatMap((id) => known.get(id) ?? []);
    setKept({ key, users: byId(chosen) });
  };
  const selectMatching = async () => {
    const matching = await allOf(api, filter);
    setKept({ key, users: byId(matching) });
  };
  const clear = useCallback(() => setKept({ key: "", users: NOBODY }), []);
  return { users, selected, select, selectMatching, clear };
}

function byId(users: User[]): Users {
  return new Map(users.map((user) => [user.id, user]));
}

async function allOf(api: Api, filter: UserFilter): Promise<User[]> {
  const users: User[] = [];
  let cursor: string | null = null;
  do {
    const query = { ...filter, cursor, limit: PAGE };
    const page: UserPage = await api.get<UserPage>("/api/admin/users", query);
    users.push(...page.users);
    cursor = page.nextCursor;
  } while (cursor !== null && users.length < MAX_SELECTED);
  return users.slice(0, MAX_SELECTED);
}
