import { useEffect, useState } from "react";
import { Button, countOf, tellError } from "../ui/index.ts";
import styles from "./SelectionBar.module.css";
import { MAX_SELECTED } from "./useSelection.ts";

interface SelectionBarProps {
  nSelected: number;
  /** How many rows are loaded, and how many match in all. */
  nLoaded: number;
  nMatching: number;
  onSelectMatching: () => Promise<void>;
  onUpdateRole: () => void;
  onClear: () => void;
}

/** What can be done with whoever is selected. */
export function SelectionBar(props: SelectionBarProps) {
  const { nSelected, nLoaded, nMatching, onSelectMatching, onUpdateRole, onClear } = props;
  const [isLoading, setIsLoading] = useState(false);
  useEscape(onClear);

  const nReachable = Math.min(nMatching, MAX_SELECTED);
  const mayWantAll = nSelected >= nLoaded && nSelected < nReachable;
  const selectMatching = () => {
    setIsLoading(true);
    onSelectMatching()
      .catch((error: unknown) => tellError("The other pages could not be loaded", error))
      .finally(() => setIsLoading(false));
  };
  return (
    <section className={styles.bar} aria-label="Selection">
      <p role="status" className={styles.count}>
        {countOf(nSelected, "user")} selected
      </p>
      {mayWantAll && (
        <Button
          variant="plain"
          size="small"
          className={styles.all}
          isBusy={isLoading}
          onClick={selectMatching}
          title={
            nMatching > MAX_SELECTED
              ? `${countOf(nMatching, "user")} match. At most ${MAX_SELECTED.toLocaleString("en")} can be selected at once.`
              : undefined
          }
        >
          {nMatching > MAX_SELECTED
            ? `Select the first ${MAX_SELECTED.toLocaleString("en")} of ${nMatching.toLocaleString("en")}`
            : `Select all ${nMatching.toLocaleString("en")} that match`}
        </Button>
      )}
      <div className={styles.actions}>
        <Button size="small" variant="primary" onClick={onUpdateRole}>
          Update role…
        </Button>
        <Button size="small" onClick={onClear}>
          Clear
        </Button>
      </div>
    </section>
  );
}

/** The Escape key, where nothing else is open that it closes, and no text that it empties. */
function useEscape(onEscape: () => void) {
  useEffect(() => {
    const listen = (event: KeyboardEvent) => {
      if (event.key !== "Escape" || document.querySelector("[data-open]")) return;
      if (event.target instanceof HTMLInputElement && event.target.value !== "") return;
      onEscape();
    };
    // Before whatever is open hears of it and closes.
    window.addEventListener("keydown", listen, { capture: true });
    return () => window.removeEventListener("keydown", listen, { capture: true });
  }, [onEscape]);
}
