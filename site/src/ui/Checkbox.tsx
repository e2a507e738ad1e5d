import { Checkbox as Base } from "@base-ui/react/checkbox";
import { Check, Minus } from "lucide-react";
import styles from "./field.module.css";

interface CheckboxProps {
  label: string;
  isChecked: boolean;
  /** Some of what it stands for is chosen, and some is not. */
  isMixed?: boolean;
  onChange: (isChecked: boolean) => void;
  isLabelHidden?: boolean;
  isDisabled?: boolean;
}

export function Checkbox(props: CheckboxProps) {
  const { label, isChecked, isMixed = false, onChange, isLabelHidden = false } = props;
  const box = (
    <Base.Root
      checked={isChecked}
      indeterminate={isMixed}
      onCheckedChange={onChange}
      disabled={props.isDisabled ?? false}
      aria-label={isLabelHidden ? label : undefined}
      className={styles.checkbox}
    >
      <Base.Indicator>
        {isMixed ? <Minus size={12} aria-hidden /> : <Check size={12} aria-hidden />}
      </Base.Indicator>
    </Base.Root>
  );
  if (isLabelHidden) return box;
  return (
    // biome-ignore lint/a11y/noLabelWithoutControl: the box inside is the control.
    <label className={styles.checkboxLine}>
      {box}
      {label}
    </label>
  );
}
