/** Dark or light: as chosen here, or as the system has it. The choice is kept in this browser. */
export type ThemeChoice = "dark" | "light" | "system";

const KEY = "slipway-theme";
const systemIsDark = () => window.matchMedia("(prefers-color-scheme: dark)").matches;

export function chosenTheme(): ThemeChoice {
  const kept = localStorage.getItem(KEY);
  return kept === "dark" || kept === "light" ? kept : "system";
}

export function chooseTheme(choice: ThemeChoice): void {
  if (choice === "system") localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, choice);
  paint();
}

/** Called once, before the first paint; follows the system from then on. */
export function applyTheme(): void {
  paint();
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
}

function paint(): void {
  const choice = chosenTheme();
  const dark = choice === "dark" || (choice === "system" && systemIsDark());
  document.documentElement.dataset["theme"] = dark ? "dark" : "light";
}
