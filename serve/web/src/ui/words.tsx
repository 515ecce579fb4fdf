/** Small words with a shape: keys, chips, states. A state has a word and a mark, never a colour alone. */
import type { ReactNode } from "react";

import { classes } from "./classes";

export function Kbd({ children }: { children: ReactNode }) {
  return <kbd className="rounded-sm border border-line-strong px-1 font-mono text-xs text-muted">{children}</kbd>;
}

/** The key that does what a button does: in the button's own colour, and not where there is hardly a keyboard. */
export function ButtonKey({ children }: { children: ReactNode }) {
  return (
    <kbd
      aria-hidden
      className="rounded-sm border border-current/40 px-1 font-mono text-xs font-medium max-sm:hidden pointer-coarse:hidden"
    >
      {children}
    </kbd>
  );
}

export function Chip({ children, className }: { children: ReactNode; className?: string }) {
  return (
    <span
      className={classes(
        "inline-flex h-6 items-center gap-1.5 rounded-full border border-line px-2 text-sm whitespace-nowrap text-muted",
        className,
      )}
    >
      {children}
    </span>
  );
}

export type Tone = "ok" | "info" | "warn" | "bad" | "plain";

const TONES: Record<Tone, string> = {
  ok: "text-ok",
  info: "text-info",
  warn: "text-warn",
  bad: "text-bad",
  plain: "text-muted",
};
const MARKS: Record<Tone, string> = { ok: "●", info: "◐", warn: "▲", bad: "✕", plain: "○" };

export function StateWord({ tone, children }: { tone: Tone; children: ReactNode }) {
  return (
    <span className={classes("inline-flex items-center gap-1 text-sm whitespace-nowrap", TONES[tone])}>
      <span aria-hidden className="text-[9px]">
        {MARKS[tone]}
      </span>
      {children}
    </span>
  );
}
