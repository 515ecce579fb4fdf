/** Starting a run and following it: the run goes on by itself; a page that comes back follows it again by its id. */
import { useCallback, useEffect, useRef, useState } from "react";

import { api, unwrap } from "@/api/client";
import { ApiError, asApiError, isAborted } from "@/api/errors";
import { followRun } from "@/api/run-events";
import { readRun } from "@/api/runs";
import { startedRun } from "@/api/starting";
import type { Json, Run } from "@/api/types";

import { after, followed, type Following, isOver, NOTHING } from "./run-state";

export interface UseRun extends Following {
  /** The latest unfinished picture of the first output. */
  preview: string | null;
  isBusy: boolean;
  /** POST `body` to `path` (`/v1/models/x/runs`, `/v1/workflows/x/runs`) and follow what it starts; null if refused. */
  start: (path: string, body: { [name: string]: Json }) => Promise<Run | null>;
  cancel: () => Promise<void>;
  /** Take up a run that goes on, or has ended. */
  follow: (runId: string) => Promise<void>;
  /** Look at no run. */
  leave: () => void;
}

export function useRun(): UseRun {
  const [known, setKnown] = useState<Following>(NOTHING);
  const watching = useRef<AbortController | null>(null);

  const begin = useCallback(() => {
    watching.current?.abort();
    watching.current = new AbortController();
    return watching.current.signal;
  }, []);

  useEffect(
    () => () => {
      watching.current?.abort();
    },
    [],
  );

  const watch = useCallback(async (run: Run, signal: AbortSignal) => {
    const tell = (change: (known: Following) => Following) => {
      if (!signal.aborted) setKnown(change);
    };
    try {
      tell(() => followed(run));
      if (isOver(followed(run).state)) {
        tell((known) => ({ ...known, error: failureOf(run) }));
        return;
      }
      for await (const event of followRun(run.id, signal)) tell((known) => after(known, event));
      if (signal.aborted) return;
      const ended = await readRun(run.id);
      tell((known) => ({ ...known, ...endOf(known, ended) }));
    } catch (thrown) {
      if (!isAborted(thrown)) tell((known) => ({ ...known, state: "failed", error: asApiError(thrown) }));
    }
  }, []);

  const start = useCallback(
    async (path: string, body: { [name: string]: Json }) => {
      const signal = begin();
      setKnown({ ...NOTHING, state: "submitting" });
      try {
        const run = await startedRun(path, body);
        void watch(run, signal);
        return run;
      } catch (thrown) {
        if (!signal.aborted) setKnown({ ...NOTHING, state: "failed", error: asApiError(thrown) });
        return null;
      }
    },
    [begin, watch],
  );

  const follow = useCallback(
    async (runId: string) => {
      const signal = begin();
      setKnown({ ...NOTHING, state: "submitting" });
      try {
        await watch(await readRun(runId), signal);
      } catch (thrown) {
        if (!signal.aborted) setKnown({ ...NOTHING, error: asApiError(thrown) });
      }
    },
    [begin, watch],
  );

  const leave = useCallback(() => {
    begin();
    setKnown(NOTHING);
  }, [begin]);

  const runId = known.run?.id;
  const cancel = useCallback(async () => {
    if (runId === undefined) return;
    try {
      await unwrap(api.POST("/v1/runs/{run_id}/cancel", { params: { path: { run_id: runId } } }));
    } catch (thrown) {
      setKnown((before) => (before.run?.id === runId ? { ...before, error: asApiError(thrown) } : before));
    }
  }, [runId]);

  const isBusy = known.state === "submitting" || known.state === "queued" || known.state === "running";
  return { ...known, preview: known.previews[0] ?? null, isBusy, start, cancel, follow, leave };
}

/** What the run's own row adds at its end: cost, seeds, why it failed. */
function endOf(known: Following, run: Run): Partial<Following> {
  const ended = followed(run);
  return {
    run,
    state: ended.state,
    outputs: ended.outputs.length > 0 ? ended.outputs : known.outputs,
    error: failureOf(run),
  };
}

function failureOf(run: Run): ApiError | null {
  const { error } = run;
  return error ? new ApiError(422, error.code, error.message, error.param) : null;
}
