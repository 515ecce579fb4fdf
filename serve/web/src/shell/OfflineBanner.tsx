/** Says that the platform does not answer, asks until it does, and has the views read anew then. */
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";

import { useReachability } from "@/api/reachability";
import { strings } from "@/strings";
import { Button } from "@/ui/button";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 8000;
const SEEN_MS = 4000;
const PATIENCE_MS = 5000;

/** How long to wait before asking for the `count`th time. */
export function waitMs(count: number): number {
  return Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** count);
}

async function isThere(signal: AbortSignal): Promise<boolean> {
  try {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]);
    return (await fetch("/livez", { signal: limit, cache: "no-store" })).ok;
  } catch {
    return false;
  }
}

/** Asks with growing pauses until the platform answers; `hurry` asks at once. */
function useAsking(isAway: boolean, found: () => void) {
  const [round, setRound] = useState(0);
  useEffect(() => {
    if (!isAway) return;
    const ending = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const ask = async (count: number) => {
      if (await isThere(ending.signal)) {
        if (!ending.signal.aborted) found();
      } else if (!ending.signal.aborted) {
        timer = setTimeout(() => void ask(count + 1), waitMs(count));
      }
    };
    void ask(0);
    return () => {
      ending.abort();
      clearTimeout(timer);
    };
  }, [isAway, found, round]);
  return () => {
    setRound((now) => now + 1);
  };
}

export function OfflineBanner() {
  const { isAway, lost, found } = useReachability();
  const [isBack, setBack] = useState(false);
  const queries = useQueryClient();
  const [heal] = useState(() => () => {
    found();
    setBack(true);
    void queries.invalidateQueries();
  });
  const hurry = useAsking(isAway, heal);

  useEffect(() => {
    // The browser has lost its network: a platform on this machine may still answer, so it is asked first.
    const ask = () => {
      lost();
    };
    window.addEventListener("offline", ask);
    return () => {
      window.removeEventListener("offline", ask);
    };
  }, [lost]);

  useEffect(() => {
    if (!isBack) return;
    const timer = setTimeout(() => {
      setBack(false);
    }, SEEN_MS);
    return () => {
      clearTimeout(timer);
    };
  }, [isBack]);

  return (
    <div role="status" aria-live="polite">
      {isAway && (
        <p className="flex items-center justify-center gap-2 border-b border-line bg-raised px-4 py-1 text-warn">
          <span aria-hidden>▲</span>
          {strings.shell.offline}
          <Button kind="quiet" onClick={hurry}>
            {strings.errors.retry}
          </Button>
        </p>
      )}
      {!isAway && isBack && (
        <p className="flex items-center justify-center gap-2 border-b border-line bg-raised px-4 py-1.5 text-ok">
          <span aria-hidden>●</span>
          {strings.shell.back}
        </p>
      )}
    </div>
  );
}
