/** The state of an image model's playground: form, run, history, what is left. */
import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useState } from "react";

import type { Card, Json, Run, Task } from "@/api/types";
import { checkValues } from "@/schema-form/checks";
import type { FormField, Values } from "@/schema-form/fields";
import { useAdaptersOf } from "@/schema-form/widgets/AdaptersField";
import { SITE_KEY, useSession } from "@/shell/session";

import { draftOf, keepDraft } from "./drafts";
import { type PastRun, useHistory } from "./history";
import { beginningOf, fieldOfParam, fieldsOfTask, runBody, valuesOfRun } from "./requests";
import { isOver } from "./run-state";
import { accepted, type Shared } from "./sharing";
import { type Plan, usePlan } from "./usePlan";
import { type UseRun, useRun } from "./useRun";

export interface Playground {
  fields: FormField[];
  values: Values;
  errors: Record<string, string>;
  lastValues: Values | undefined;
  plan: Plan | null;
  run: UseRun;
  history: ReturnType<typeof useHistory>;
  set: (name: string, value: Json) => void;
  submit: () => Promise<Run | null>;
  restore: (run: PastRun) => void;
  reset: () => void;
}

/** `shared` is what the link says that led here; it goes before what was written here last. */
export function usePlayground(card: Card, task: Task, shared: Shared | null): Playground {
  const { isSignedIn } = useSession();
  const fields = useMemo(() => fieldsOfTask(card, task, isSignedIn), [card, task, isSignedIn]);
  const [values, setValues] = useState<Values>(() => {
    const all = fieldsOfTask(card, task, true);
    const isShared = shared?.task === task;
    const written = isShared ? shared.values : draftOf(card.name, task);
    return { ...beginningOf(all), ...accepted(all, written, !isShared) };
  });
  const [isTried, setTried] = useState(false);
  const [changed, setChanged] = useState<ReadonlySet<string>>(new Set());
  const run = useRun();
  const queries = useQueryClient();
  const history = useHistory(card.name);
  const adapters = useAdaptersOf(isSignedIn ? card.name : undefined);
  const faults = useMemo(() => checkValues(fields, values), [fields, values]);
  const isRight = Object.keys(faults).length === 0;
  const body = runBody(card, task, fields, values);
  const plan = usePlan(card.name, isRight && (isSignedIn || !hasPicture(fields, values)) ? body : null);
  const refused = run.state === "failed" ? fieldOfParam(run.error?.param ?? null, fields) : null;

  useEffect(() => {
    keepDraft(card.name, task, values);
  }, [card.name, task, values]);

  const { remember } = history;
  const ended = run.run !== null && isOver(run.state) ? run.run : null;
  useEffect(() => {
    if (ended === null) return;
    remember(ended);
    void queries.invalidateQueries({ queryKey: SITE_KEY });
  }, [ended, remember, queries]);

  const set = useCallback((name: string, value: Json) => {
    setValues((before) => ({ ...before, [name]: value }));
    setChanged((before) => new Set(before).add(name));
  }, []);

  const submit = async () => {
    setTried(true);
    if (!isRight) return null;
    setChanged(new Set());
    const started = await run.start(`/v1/models/${encodeURIComponent(card.name)}/runs`, { ...body } as never);
    if (started !== null) remember(started);
    void queries.invalidateQueries({ queryKey: SITE_KEY });
    return started;
  };

  return {
    fields,
    values,
    errors: errorsShown(faults, isTried, changed, refused, run.error?.message ?? ""),
    lastValues: run.run?.input as Values | undefined,
    plan,
    run,
    history,
    set,
    submit,
    restore: (past) => {
      setValues(valuesOfRun(past, fields, adapters.data ?? []));
      setChanged(new Set());
    },
    reset: () => {
      setValues(beginningOf(fields));
      setTried(false);
    },
  };
}

/** What is missing is said after the first try; what is wrong at once. A refusal stands until its field changes. */
function errorsShown(
  faults: Record<string, string>,
  isTried: boolean,
  changed: ReadonlySet<string>,
  refused: string | null,
  message: string,
): Record<string, string> {
  const shown = Object.entries(faults).filter(([name]) => isTried || changed.has(name));
  const errors = Object.fromEntries(shown);
  if (refused !== null && !changed.has(refused.split(".")[0] ?? refused)) errors[refused] ??= message;
  return errors;
}

function hasPicture(fields: FormField[], values: Values): boolean {
  return fields.some(({ name, widget }) => (widget === "image" || widget === "mask") && values[name] != null);
}
