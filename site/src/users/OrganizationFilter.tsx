import { lazyRouteComponent } from "@tanstack/react-router";
import { ChevronsUpDown } from "lucide-react";
import { Suspense, useState } from "react";
import field from "../ui/field.module.css";
import { classes } from "../ui/index.ts";
import styles from "./OrganizationPicker.module.css";

const OrganizationPicker = lazyRouteComponent(
  () => import("./OrganizationPicker.tsx"),
  "OrganizationPicker",
);

interface OrganizationFilterProps {
  /** The Clerk id of the organization. */
  value: string | undefined;
  onChange: (clerkId: string | undefined) => void;
}

/** Whose members are shown. What it is looked for with comes when somebody wants to. */
export function OrganizationFilter(props: OrganizationFilterProps) {
  const [isAsked, setIsAsked] = useState(false);
  const button = <ClosedPicker onOpen={() => setIsAsked(true)} />;
  if (!isAsked && props.value === undefined) return button;
  return (
    <Suspense fallback={button}>
      <OrganizationPicker {...props} isOpenAtOnce={isAsked} />
    </Suspense>
  );
}

/** Looks like the picker, and says the same to those who hear it. */
function ClosedPicker({ onOpen }: { onOpen: () => void }) {
  return (
    <button
      type="button"
      role="combobox"
      aria-label="Organization: any"
      aria-expanded={false}
      aria-haspopup="listbox"
      className={classes(field.control, field.select, styles.trigger)}
      onClick={onOpen}
    >
      <span className={styles.value}>Any organization</span>
      <span className={field.chevron}>
        <ChevronsUpDown size={14} aria-hidden />
      </span>
    </button>
  );
}
