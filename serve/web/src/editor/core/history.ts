/** What was, and what was undone. Documents share what has not changed, so a step costs little more than the change. */
export interface Step<State> {
  state: State;
  /** What the edit was that led away from it, in words. */
  label: string;
}

export interface History<State> {
  past: readonly Step<State>[];
  future: readonly Step<State>[];
  /** What the latest edit was a part of: further ones of it make no step of their own. Null once something else was. */
  open: string | null;
}

export const NO_HISTORY: History<never> = { past: [], future: [], open: null };
const MAX_STEPS = 500;

/** After an edit of `before`. Edits with the same `coalesce`, one after the other, are one step: a drag, a word. */
export function recorded<State>(
  history: History<State>,
  before: State,
  label: string,
  coalesce: string | null = null,
): History<State> {
  if (coalesce !== null && coalesce === history.open) return { ...history, future: [] };
  return { past: [...history.past, { state: before, label }].slice(-MAX_STEPS), future: [], open: coalesce };
}

/** The end of a drag: what comes next is a step of its own. */
export function closed<State>(history: History<State>): History<State> {
  return history.open === null ? history : { ...history, open: null };
}

/** The state before the latest edit; null where there was none. */
export function undone<State>(history: History<State>, now: State): { history: History<State>; state: State } | null {
  const step = history.past.at(-1);
  if (step === undefined) return null;
  const future = [{ state: now, label: step.label }, ...history.future];
  return { history: { past: history.past.slice(0, -1), future, open: null }, state: step.state };
}

export function redone<State>(history: History<State>, now: State): { history: History<State>; state: State } | null {
  const step = history.future[0];
  if (step === undefined) return null;
  const past = [...history.past, { state: now, label: step.label }];
  return { history: { past, future: history.future.slice(1), open: null }, state: step.state };
}
