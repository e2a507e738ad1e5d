/// <reference types="vite/client" />

interface ImportMetaEnv {
  /** Clerk's publishable key; without it the panel signs in at the stand-in for Clerk. */
  readonly VITE_CLERK_PUBLISHABLE_KEY: string;
}
