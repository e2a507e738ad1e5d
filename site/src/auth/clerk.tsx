// Signing in with Clerk: on Clerk's own page, so that no foreign form and no foreign style is here.

import { ClerkProvider, useAuth, useClerk } from "@clerk/react";
import { type ReactNode, useEffect, useMemo } from "react";
import { Api, ApiError } from "../api/client.ts";
import { ErrorState, LoadingPage } from "../ui/index.ts";
import { type Session, SessionProvider } from "./session.ts";

const NO_CLERK = new ApiError(0, {
  code: "no_clerk",
  error:
    "Clerk's script could not be loaded, so nobody can sign in. Look at your connection, then try again.",
});

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
    const signOut = () => void clerk.signOut({ redirectUrl: "/admin/users" });
    const token = async (isFresh = false) => (await getToken({ skipCache: isFresh })) ?? "";
    return { userId, api: new Api({ token }), signOut };
  }, [userId, getToken, clerk]);

  if (clerk.status === "error") {
    return <ErrorState error={NO_CLERK} onRetry={() => window.location.reload()} />;
  }
  if (!session) return <LoadingPage label="Signing in" />;
  return <SessionProvider value={session}>{children}</SessionProvider>;
}
