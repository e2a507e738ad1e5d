import { useEffect, useRef, useState } from "react";
import { Button } from "./Button.tsx";
import styles from "./DataTable.module.css";
import { sentenceOf } from "./toasts.tsx";

/** How far below the window the end of the list may be when the next page is asked for. */
const NEAR = "800px";

export interface More {
  hasMore: boolean;
  isLoading: boolean;
  onLoad: () => void;
  /** Loads the next page by itself when somebody scrolls near the end. */
  isAutomatic?: boolean;
  /** Why the next page could not be loaded; then nothing is loaded by itself. */
  error?: unknown;
}

/** The end of a list that comes page by page. */
export function LoadMore(props: More & { nShown: number }) {
  const { hasMore, isLoading, onLoad, isAutomatic = false, error, nShown } = props;
  const [isNear, ref] = useIsNear();
  const isDue = isAutomatic && isNear && hasMore && !isLoading && !error;

  // Each page moves the end away; if it does not move far enough, the next page is due, too.
  // biome-ignore lint/correctness/useExhaustiveDependencies: a page that came may leave the end near.
  useEffect(() => {
    if (isDue) onLoad();
  }, [isDue, nShown, onLoad]);

  return (
    <footer className={styles.more} ref={ref}>
      {error !== undefined && error !== null && (
        <p role="alert">More could not be loaded. {sentenceOf(error)}</p>
      )}
      {hasMore ? (
        <Button isBusy={isLoading} onClick={onLoad}>
          {error ? "Try again" : "Show more"}
        </Button>
      ) : (
        <p>{nShown.toLocaleString("en")} shown, and there are no more.</p>
      )}
    </footer>
  );
}

/** Whether an element is in the window, or soon will be. */
function useIsNear() {
  const ref = useRef<HTMLElement>(null);
  const [isNear, setIsNear] = useState(false);
  useEffect(() => {
    const element = ref.current;
    if (!element) return;
    const look = (entries: IntersectionObserverEntry[]) => {
      setIsNear(entries.at(-1)?.isIntersecting ?? false);
    };
    const observer = new IntersectionObserver(look, { rootMargin: NEAR });
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return [isNear, ref] as const;
}
