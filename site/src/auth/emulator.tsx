// Signing in at the stand-in for Clerk: for development, where there is no publishable key.

import { type ReactNode, useEffect, useMemo, useState } from "react";
import { Api, ApiError, unreachable } from "../api/client.ts";
import { Avatar, Badge, Button, ErrorState, Skeleton } from "../ui/index.ts";
import styles from "./emulator.module.css";
import { type Session, SessionProvider } from "./session.ts";

/** Where the browser remembers who is signed in; the token itself is nowhere but in memory. */
const STORED = "clerk-sync.user";
const TOKEN_SECONDS = 60;
/** A token is not sent when it may run out on its way. */
const MARGIN_MS = 10_000;

interface Person {
  id: string;
  name: string | null;
  email: string | null;
  role: string | null;
  image_url: string | null;
  banned: boolean;
}

/** Shows its children to whoever is signed in, and a list of users to sign in as to everybody else. */
export default function EmulatorGate({ children }: { children: ReactNode }) {
  const [userId, setUserId] = useState(() => sessionStorage.getItem(STORED));

  const session = useMemo<Session | undefined>(() => {
    if (!userId) return undefined;
    const signOut = () => {
      sessionStorage.removeItem(STORED);
      setUserId(null);
    };
    return { userId, api: new Api({ token: tokensOf(userId) }), signOut };
  }, [userId]);

  const signIn = (id: string) => {
    sessionStorage.setItem(STORED, id);
    setUserId(id);
  };
  if (!session) return <SignInPage onSignIn={signIn} />;
  return <SessionProvider value={session}>{children}</SessionProvider>;
}

/** Tokens as Clerk's own script makes them: short-lived, renewed when one is asked for. */
function tokensOf(userId: string): (isFresh?: boolean) => Promise<string> {
  let current: { jwt: Promise<string>; goodUntil: number } | undefined;
  return (isFresh = false) => {
    if (!current || isFresh || Date.now() > current.goodUntil) {
      const jwt = newToken(userId);
      current = { jwt, goodUntil: Date.now() + TOKEN_SECONDS * 1000 - MARGIN_MS };
      jwt.catch(() => {
        current = undefined;
      });
    }
    return current.jwt;
  };
}

async function newToken(userId: string): Promise<string> {
  const body = { user_id: userId, expires_in_seconds: TOKEN_SECONDS, azp: window.location.origin };
  const { jwt } = await emulator<{ jwt: string }>("tokens", body);
  return jwt;
}

async function emulator<T>(path: string, body?: unknown): Promise<T> {
  const how = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  const headers = { "content-type": "application/json" };
  const response = await fetch(`/_emulator/${path}`, { ...how, headers }).catch(() => {
    throw unreachable();
  });
  const answer: unknown = await response.json().catch(() => undefined);
  if (response.ok && answer !== undefined) return answer as T;
  throw new ApiError(response.status, {
    code: "no_emulator",
    error:
      "Nobody can sign in here: this panel was built without Clerk's publishable key, and there is no stand-in for Clerk. Set VITE_CLERK_PUBLISHABLE_KEY when you build it.",
  });
}

function SignInPage({ onSignIn }: { onSignIn: (userId: string) => void }) {
  const [people, setPeople] = useState<Person[]>();
  const [error, setError] = useState<Error>();
  const [attempt, setAttempt] = useState(0);

  // biome-ignore lint/correctness/useExhaustiveDependencies: each attempt asks again.
  useEffect(() => {
    let isGone = false;
    setError(undefined);
    emulator<{ users: Person[] }>("users")
      .then(({ users }) => isGone || setPeople(users))
      .catch((cause: Error) => isGone || setError(cause));
    return () => {
      isGone = true;
    };
  }, [attempt]);

  return (
    <main className={styles.page}>
      <div className={styles.card}>
        <h1>Sign in</h1>
        <p className={styles.hint}>
          A stand-in for Clerk runs here. Choose as whom you look at the panel.
        </p>
        {error ? (
          <ErrorState error={error} onRetry={() => setAttempt(attempt + 1)} />
        ) : (
          <People people={people} onSignIn={onSignIn} />
        )}
      </div>
    </main>
  );
}

function People(props: { people: Person[] | undefined; onSignIn: (userId: string) => void }) {
  if (!props.people) return <Skeleton nLines={6} />;
  return (
    <ul className={styles.people}>
      {props.people.map((person) => (
        <li key={person.id}>
          <Button
            variant="plain"
            className={styles.person}
            onClick={() => props.onSignIn(person.id)}
          >
            <Avatar name={person.name ?? person.email} imageUrl={person.image_url} />
            <span className={styles.name}>
              <span>{person.name ?? person.email ?? person.id}</span>
              <span className={styles.email}>{person.email}</span>
            </span>
            {person.role === "ADMIN" && <Badge tone="accent">ADMIN</Badge>}
            {person.banned && <Badge tone="bad">banned</Badge>}
          </Button>
        </li>
      ))}
    </ul>
  );
}
