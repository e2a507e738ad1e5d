// Who is signed in; `clerk.tsx` and `emulator.tsx` are the two ways to be.

import { createContext, useContext } from "react";
import type { Api } from "../api/client.ts";

export interface Session {
  /** The Clerk id of whoever is signed in. */
  userId: string;
  /** The functions, as they may call them. */
  api: Api;
  signOut(): void;
}

const SessionContext = createContext<Session | undefined>(undefined);

export const SessionProvider = SessionContext.Provider;

export function useSession(): Session {
  const session = useContext(SessionContext);
  if (!session) throw new Error("Nobody is signed in here.");
  return session;
}

export function useApi(): Api {
  return useSession().api;
}
