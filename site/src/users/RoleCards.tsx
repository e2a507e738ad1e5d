import { Radio } from "@base-ui/react/radio";
import { RadioGroup } from "@base-ui/react/radio-group";
import type { Ref } from "react";
import { ROLES, type Role } from "../api/types.ts";
import { Badge } from "../ui/index.ts";
import styles from "./RoleCards.module.css";
import { ROLE_MEANS } from "./words.ts";

interface RoleCardsProps {
  value: Role | undefined;
  onChange: (role: Role) => void;
  /** The role that the user has now. */
  current?: Role | undefined;
  ref?: Ref<HTMLDivElement>;
}

/** The three roles, and what each may do. */
export function RoleCards({ value, onChange, current, ref }: RoleCardsProps) {
  return (
    <RadioGroup<Role | null>
      ref={ref}
      aria-label="Role"
      value={value ?? null}
      onValueChange={(role) => role && onChange(role)}
      className={styles.cards}
    >
      {ROLES.map((role) => (
        // biome-ignore lint/a11y/noLabelWithoutControl: the radio button inside is the control.
        <label key={role} className={styles.card}>
          <Radio.Root value={role} className={styles.radio} aria-describedby={`means-${role}`}>
            <Radio.Indicator className={styles.dot} />
          </Radio.Root>
          <span className={styles.role}>{role}</span>
          {role === current && <Badge>now</Badge>}
          <span id={`means-${role}`} className={styles.means}>
            {ROLE_MEANS[role]}
          </span>
        </label>
      ))}
    </RadioGroup>
  );
}

/** Where the keyboard begins: at the role that is chosen, or at the first one. */
export function chosenIn(cards: HTMLElement | null): HTMLElement | null {
  const radios = cards?.querySelectorAll<HTMLElement>("[role=radio]");
  const all = [...(radios ?? [])];
  return all.find((radio) => radio.hasAttribute("data-checked")) ?? all[0] ?? null;
}
