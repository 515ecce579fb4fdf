/** How one budget stands: spent, held and left, as a bar and in words. */
import type { Schemas } from "@/api/types";
import { strings } from "@/strings";
import { classes } from "@/ui/classes";
import { money } from "@/ui/quantities";
import { StateWord } from "@/ui/words";

const WORDS = strings.usage.budget;

export type Budget = Schemas["BudgetView"];

export function reachOf({ project, key_id }: Pick<Budget, "project" | "key_id">): string {
  if (key_id !== null) return WORDS.of.key(key_id);
  return project === null ? WORDS.of.tenant : WORDS.of.project(project);
}

/** The parts of the limit (of the soft one, where that is all) that are spent and held, from 0 to 1. */
export function partsOf({ limit, soft_limit, spent, held }: Budget): { spent: number; held: number } {
  const whole = (limit ?? soft_limit)?.nano_usd ?? 0;
  if (whole === 0) return { spent: 1, held: 0 };
  const part = Math.min(1, Math.max(0, spent.nano_usd / whole));
  return { spent: part, held: Math.min(1 - part, Math.max(0, held.nano_usd / whole)) };
}

export function BudgetBar({ budget }: { budget: Budget }) {
  const parts = partsOf(budget);
  const isUsedUp = budget.remaining !== null && budget.remaining.nano_usd <= 0;
  const whole = budget.limit ?? budget.soft_limit;
  const told = whole === null ? WORDS.spentOnly(money(budget.spent)) : WORDS.spent(money(budget.spent), money(whole));
  const fill = isUsedUp ? "bg-bad" : budget.soft_exceeded ? "bg-warn" : "bg-info";
  return (
    <div className="flex flex-col gap-1">
      <div className="flex flex-wrap items-baseline justify-between gap-x-3">
        <span>
          <span className="font-medium">{budget.title || reachOf(budget)}</span>{" "}
          <span className="text-muted">
            {budget.title && `${reachOf(budget)}, `}
            {WORDS.periods[budget.period]}
          </span>
        </span>
        {isUsedUp && <StateWord tone="bad">{WORDS.exhausted}</StateWord>}
        {!isUsedUp && budget.soft_exceeded && <StateWord tone="warn">{WORDS.softExceeded}</StateWord>}
      </div>
      <div
        role="meter"
        aria-label={`${budget.title || reachOf(budget)}: ${told}`}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={Math.round(parts.spent * 100)}
        className="flex h-1.5 overflow-hidden rounded-full bg-line"
      >
        <div className={classes("h-full", fill)} style={{ width: `${String(parts.spent * 100)}%` }} />
        <div className={classes("h-full opacity-40", fill)} style={{ width: `${String(parts.held * 100)}%` }} />
      </div>
      <p className="text-sm text-muted">{[told, ...more(budget)].join(" · ")}</p>
    </div>
  );
}

function more({ remaining, held, soft_limit, limit, resets_at }: Budget): string[] {
  const parts = [];
  if (held.nano_usd > 0) parts.push(WORDS.held(money(held)));
  if (remaining !== null) parts.push(WORDS.left(money(remaining)));
  if (soft_limit !== null && limit !== null) parts.push(WORDS.soft(money(soft_limit)));
  if (resets_at !== null) parts.push(WORDS.resets(`${new Date(resets_at).toISOString().slice(0, 10)} (UTC)`));
  return parts;
}
