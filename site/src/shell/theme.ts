// Light, dark, or as the system has it; the browser remembers the choice.

const STORED = "clerk-sync.theme";
export const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

export function storedTheme(): Theme {
  const stored = localStorage.getItem(STORED);
  return THEMES.find((theme) => theme === stored) ?? "system";
}

export function applyTheme(theme: Theme): void {
  if (theme === "system") {
    localStorage.removeItem(STORED);
    delete document.documentElement.dataset.theme;
    return;
  }
  localStorage.setItem(STORED, theme);
  document.documentElement.dataset.theme = theme;
}
