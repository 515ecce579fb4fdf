/** Following a run: its events as they come, resumed where the connection broke, to the end of the run. */
import { asApiError } from "./errors";
import { type ServerEvent, serverEvents } from "./server-events";
import type { Json } from "./types";

export interface RunEvent {
  kind: string;
  data: Record<string, Json>;
  id: string | null;
}

const ENDS = new Set(["succeeded", "failed", "canceled"]);
const MAX_WAIT_MS = 8_000;

/** The events of run `id` after `after`. Ends with the run; raises ApiError where the run is not to be had. */
export async function* followRun(
  id: string,
  signal: AbortSignal,
  after: string | null = null,
): AsyncGenerator<RunEvent> {
  let last = after;
  let failures = 0;
  for (;;) {
    try {
      const headers: Record<string, string> = last === null ? {} : { "last-event-id": last };
      for await (const event of serverEvents(`/v1/runs/${encodeURIComponent(id)}/events`, { headers, signal })) {
        failures = 0;
        last = event.id ?? last;
        yield told(event);
        if (ENDS.has(event.event)) return;
      }
      failures += 1;
    } catch (thrown) {
      if (signal.aborted) return;
      const error = asApiError(thrown);
      if (!error.isTransient) throw error;
      failures += 1;
    }
    await pause(Math.min(MAX_WAIT_MS, 250 * 2 ** failures), signal);
    if (signal.aborted) return;
  }
}

function told(event: ServerEvent): RunEvent {
  return { kind: event.event, data: JSON.parse(event.data) as Record<string, Json>, id: event.id };
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}
