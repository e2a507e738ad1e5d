import { Avatar as Base } from "@base-ui/react/avatar";
import styles from "./Avatar.module.css";
import { classes } from "./classes.ts";

/** Pictures lie on Clerk's host, and the stand-in for Clerk has none. */
const HAS_PICTURES = Boolean(import.meta.env.VITE_CLERK_PUBLISHABLE_KEY);

interface AvatarProps {
  name: string | null;
  imageUrl: string | null;
  isLarge?: boolean;
}

/** A picture, or the initials until it is there. It says nothing that is not written beside it. */
export function Avatar({ name, imageUrl, isLarge }: AvatarProps) {
  return (
    <Base.Root className={classes(styles.avatar, isLarge && styles.large)} aria-hidden>
      {HAS_PICTURES && imageUrl && <Base.Image src={imageUrl} alt="" className={styles.image} />}
      <Base.Fallback className={styles.fallback}>{initials(name)}</Base.Fallback>
    </Base.Root>
  );
}

function initials(name: string | null): string {
  const words = (name ?? "").split(/[\s.@_-]+/u).filter(Boolean);
  const letters = words.slice(0, 2).map((word) => [...word][0] ?? "");
  return letters.join("").toUpperCase() || "?";
}
