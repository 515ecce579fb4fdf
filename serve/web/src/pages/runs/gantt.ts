/** Where the bars of a run's steps stand: parts of the run's own time, from 0 to 1. */
import type { Step } from "@/api/types";

export interface Bar {
  label: string;
  status: Step["status"];
  /** Null for a step that did not run: cached, skipped, or not yet. */
  at: { left: number; width: number; afterSeconds: number; seconds: number } | null;
  reason: string | null;
}

interface Span {
  start: number;
  end: number;
}

/** The time that the chart spans: from the first start to the last end, or to `now` while a step goes on. */
export function spanOf(steps: Step[], now: number): Span | null {
  const starts = steps.flatMap((step) => (step.started_at === null ? [] : [Date.parse(step.started_at)]));
  if (starts.length === 0) return null;
  const ends = steps.flatMap((step) => (step.started_at === null ? [] : [endOf(step, now)]));
  const start = Math.min(...starts);
  return { start, end: Math.max(start + 1, ...ends) };
}

/** A bar for each step, in the order in which they began; those that did not come last, by label. */
export function barsOf(steps: Step[], now: number): Bar[] {
  const span = spanOf(steps, now);
  const began = (step: Step) => (step.started_at === null ? Infinity : Date.parse(step.started_at));
  const order = (a: Step, b: Step) => compare(began(a), began(b)) || a.label.localeCompare(b.label);
  return [...steps].sort(order).map((step) => ({
    label: step.label,
    status: step.status,
    reason: step.reason,
    at: span === null || step.started_at === null ? null : place(step, span, now),
  }));
}

function compare(a: number, b: number): number {
  return a === b ? 0 : a < b ? -1 : 1;
}

function place(step: Step, span: Span, now: number): NonNullable<Bar["at"]> {
  const start = Date.parse(step.started_at ?? "");
  const total = span.end - span.start;
  const length = Math.max(0, endOf(step, now) - start);
  return {
    left: (start - span.start) / total,
    width: length / total,
    afterSeconds: (start - span.start) / 1000,
    seconds: length / 1000,
  };
}

function endOf(step: Step, now: number): number {
  return step.finished_at === null ? now : Date.parse(step.finished_at);
}
