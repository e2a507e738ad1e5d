import { Select as Base } from "@base-ui/react/select";
import { Check, ChevronsUpDown } from "lucide-react";
import type { ReactNode } from "react";
import { classes } from "./classes.ts";
import styles from "./field.module.css";
import popup from "./popup.module.css";

export interface Option<T extends string> {
  value: T;
  label: string;
}

interface SelectProps<T extends string> {
  label: string;
  value: T;
  options: readonly Option<T>[];
  onChange: (value: T) => void;
  /** Whether the label is only read aloud, as above a table. */
  isLabelHidden?: boolean;
  description?: ReactNode;
  isDisabled?: boolean;
}

/** One of a few. */
export function Select<T extends string>(props: SelectProps<T>) {
  const { label, value, options, onChange, isLabelHidden = false, description } = props;
  return (
    <div className={styles.field}>
      <Base.Root
        items={options}
        value={value}
        disabled={props.isDisabled ?? false}
        onValueChange={(next) => next !== null && onChange(next as T)}
      >
        <Base.Label className={isLabelHidden ? "visually-hidden" : styles.label}>
          {label}
        </Base.Label>
        <Base.Trigger className={classes(styles.control, styles.select)}>
          <Base.Value />
          <Base.Icon className={styles.chevron}>
            <ChevronsUpDown size={14} aria-hidden />
          </Base.Icon>
        </Base.Trigger>
        <Base.Portal>
          <Base.Positioner className={popup.positioner} sideOffset={4} alignItemWithTrigger={false}>
            <Base.Popup className={popup.popup}>
              <Base.List>
                {options.map((option) => (
                  <Base.Item key={option.value} value={option.value} className={popup.item}>
                    <span className={popup.check}>
                      <Base.ItemIndicator>
                        <Check size={14} aria-hidden />
                      </Base.ItemIndicator>
                    </span>
                    <Base.ItemText>{option.label}</Base.ItemText>
                  </Base.Item>
                ))}
              </Base.List>
            </Base.Popup>
          </Base.Positioner>
        </Base.Portal>
      </Base.Root>
      {description && <p className={styles.description}>{description}</p>}
    </div>
  );
}
