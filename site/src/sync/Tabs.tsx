import styles from "./Tabs.module.css";

interface TabsProps<T extends string> {
  label: string;
  value: T;
  tabs: { value: T; label: string; note?: string }[];
  onChange: (value: T) => void;
}

/** A few choices of what is shown below, side by side, one of which is taken. */
export function Tabs<T extends string>({ label, value, tabs, onChange }: TabsProps<T>) {
  return (
    <fieldset className={styles.tabs}>
      <legend className="visually-hidden">{label}</legend>
      {tabs.map((tab) => (
        <button
          key={tab.value}
          type="button"
          aria-pressed={tab.value === value}
          className={styles.tab}
          onClick={() => onChange(tab.value)}
        >
          {tab.label}
          {tab.note && <span className={styles.note}>{tab.note}</span>}
        </button>
      ))}
    </fieldset>
  );
}
