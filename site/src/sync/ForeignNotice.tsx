import { Notice } from "../ui/index.ts";

/** Of a comparison that may have been one with somebody else's Clerk. */
export function ForeignNotice() {
  return (
    <Notice tone="bad">
      <strong>None of our users is in Clerk.</strong> Perhaps the secret key is that of another
      instance. A repair would end every user here and add strangers: look at the settings before
      you approve anything.
    </Notice>
  );
}
