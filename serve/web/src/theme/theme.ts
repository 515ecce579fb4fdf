/** Dark or light: as chosen here, or as the system has it. The choice is kept in this browser. `before-paint.js` in
 * `public` reads it too, so that the first paint is right. */
import { useSyncExternalStore } from "react";

export type ThemeChoice = "dark" | "light" | "system";

const KEY = "slipway-theme";
const systemIsDark = () => window.matchMedia("(prefers-color-scheme: dark)").matches;
const watching = new Set<() => void>();

export function chosenTheme(): ThemeChoice {
  const kept = localStorage.getItem(KEY);
  return kept === "dark" || kept === "light" ? kept : "system";
}

export function chooseTheme(choice: ThemeChoice): void {
  if (choice === "system") localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, choice);
  paint();
}

/** Follows the system and the page's other tabs from now on. */
export function applyTheme(): void {
  paint();
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  window.addEventListener("storage", ({ key }) => {
    if (key === KEY || key === null) paint();
  });
}

/** What is chosen, as it changes. */
export function useThemeChoice(): ThemeChoice {
  return useSyncExternalStore(watch, chosenTheme);
}

function watch(changed: () => void): () => void {
  watching.add(changed);
  return () => watching.delete(changed);
}

function paint(): void {
  const choice = chosenTheme();
  const dark = choice === "dark" || (choice === "system" && systemIsDark());
  document.documentElement.dataset["theme"] = dark ? "dark" : "light";
  for (const changed of watching) changed();
}
