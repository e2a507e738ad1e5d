// Signing in with Clerk: on Clerk's own page, so that no foreign form and no foreign style is here.

import { ClerkProvider, useAuth, useClerk } from "@clerk/react";
import { type ReactNode, useEffect, useMemo } from "react";
import { Api } from "../api/client.ts";
import { LoadingPage } from "../ui/index.ts";
import { type Session, SessionProvider } from "./session.ts";

/** Shows its children to whoever is signed in, and sends everybody else to Clerk's sign-in page. */
export default function ClerkGate({ children }: { children: ReactNode }) {
  return (
    <ClerkProvider
      publishableKey={import.meta.env.VITE_CLERK_PUBLISHABLE_KEY}
      prefetchUI={false}
      telemetry={false}
    >
      <Gate>{children}</Gate>
    </ClerkProvider>
  );
}

function Gate({ children }: { children: ReactNode }) {
  const { isLoaded, userId, getToken } = useAuth();
  const clerk = useClerk();
  const isSignedOut = isLoaded && !userId;

  useEffect(() => {
    if (isSignedOut) void clerk.redirectToSignIn({ redirectUrl: window.location.href });
  }, [isSignedOut, clerk]);

  const session = useMemo<Session | undefined>(() => {
    if (!userId) return undefined;
    const token = async (isFresh = false) => (await getToken({ skipCache: isFresh })) ?? "";
    return { userId, api: new Api({ token }), signOut: () => void clerk.signOut() };
  }, [userId, getToken, clerk]);

  if (!session) return <LoadingPage label="Signing in" />;
  return <SessionProvider value={session}>{children}</SessionProvider>;
}
