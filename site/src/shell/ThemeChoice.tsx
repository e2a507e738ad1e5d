import { Monitor, Moon, Sun } from "lucide-react";
import { useState } from "react";
import { IconButton } from "../ui/index.ts";
import styles from "./Shell.module.css";
import { applyTheme, storedTheme, THEMES } from "./theme.ts";

const ICONS = { system: Monitor, light: Sun, dark: Moon };
const LABELS = { system: "As the system has it", light: "Light", dark: "Dark" };

export function ThemeChoice() {
  const [theme, setTheme] = useState(storedTheme);
  return (
    <fieldset className={styles.themes}>
      <legend className="visually-hidden">Colours</legend>
      {THEMES.map((choice) => {
        const Icon = ICONS[choice];
        return (
          <IconButton
            key={choice}
            label={LABELS[choice]}
            aria-pressed={theme === choice}
            className={styles.theme}
            onClick={() => {
              applyTheme(choice);
              setTheme(choice);
            }}
          >
            <Icon size={15} aria-hidden />
          </IconButton>
        );
      })}
    </fieldset>
  );
}
