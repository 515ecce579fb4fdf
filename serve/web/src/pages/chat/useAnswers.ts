/** Asks models and follows their answers; several at once, each stopped by itself or all together. */
import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useRef, useState } from "react";

import { ApiError, asApiError, isAborted } from "@/api/errors";
import { serverEvents } from "@/api/server-events";
import type { Json } from "@/api/types";
import { strings } from "@/strings";
import { SITE_KEY } from "@/shell/session";

import { type Answer, type Chunk, emptyAnswer, failed, grown } from "./answers";

export interface Ask {
  /** Names the answer among those on their way. */
  key: string;
  path: string;
  model: string;
  body: Record<string, Json>;
  /** Told once, when the answer is whole, stopped or failed. */
  onEnd: (answer: Answer) => void;
}

export interface Answers {
  /** Those on their way, by key. */
  live: Record<string, Answer>;
  ask: (ask: Ask) => void;
  stop: () => void;
  isBusy: boolean;
}

export function useAnswers(): Answers {
  const [live, setLive] = useState<Record<string, Answer>>({});
  const asked = useRef(new Map<string, AbortController>());
  const queries = useQueryClient();

  useEffect(() => {
    const controllers = asked.current;
    return () => {
      for (const controller of controllers.values()) controller.abort();
    };
  }, []);

  const ask = useCallback(
    (one: Ask) => {
      asked.current.get(one.key)?.abort();
      const controller = new AbortController();
      asked.current.set(one.key, controller);
      const show = (answer: Answer) => {
        setLive((all) => ({ ...all, [one.key]: answer }));
      };
      show(emptyAnswer(one.model));
      void follow(one, controller.signal, show).then((answer) => {
        // Asked anew under the same name: what ends here is nobody's any more.
        if (asked.current.get(one.key) !== controller) return;
        asked.current.delete(one.key);
        one.onEnd(answer);
        setLive((all) => Object.fromEntries(Object.entries(all).filter(([key]) => key !== one.key)));
        // The call has changed what is left without a key.
        void queries.invalidateQueries({ queryKey: SITE_KEY });
      });
    },
    [queries],
  );
  const stop = useCallback(() => {
    for (const controller of asked.current.values()) controller.abort();
  }, []);
  return { live, ask, stop, isBusy: Object.keys(live).length > 0 };
}

/** The answer to the end. Leaving the stream is what stops the model. */
async function follow(ask: Ask, signal: AbortSignal, show: (answer: Answer) => void): Promise<Answer> {
  const began = performance.now();
  let answer = emptyAnswer(ask.model);
  const painter = painting(() => {
    show(answer);
  });
  const body = { ...ask.body, model: ask.model, stream: true, stream_options: { include_usage: true } };
  const init = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), signal };
  try {
    for await (const { data } of serverEvents(ask.path, init)) {
      if (data === "[DONE]") return { ...answer, status: "done" };
      answer = grown(answer, JSON.parse(data) as Chunk, (performance.now() - began) / 1000);
      painter.soon();
    }
    throw new ApiError(0, "stream_failed", strings.chat.broken);
  } catch (thrown) {
    if (isAborted(thrown) || signal.aborted) return { ...answer, status: "stopped" };
    return failed(answer, asApiError(thrown));
  } finally {
    painter.end();
  }
}

/** Draws at most once per frame, however many chunks a frame brings. */
function painting(draw: () => void) {
  let frame = 0;
  return {
    soon() {
      if (frame !== 0) return;
      frame = requestAnimationFrame(() => {
        frame = 0;
        draw();
      });
    },
    end() {
      cancelAnimationFrame(frame);
    },
  };
}
