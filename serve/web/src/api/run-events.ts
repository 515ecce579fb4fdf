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
/** The platform says something at least every 15 seconds. */
const SILENCE_MS = 45_000;

/** The events of run `id` after `after`. Ends with the run; raises ApiError where the run is not to be had. */
export async function* followRun(
  id: string,
  signal: AbortSignal,
  after: string | null = null,
): AsyncGenerator<RunEvent> {
  let last = after;
  let failures = 0;
  let wanted = 0;
  const path = `/v1/runs/${encodeURIComponent(id)}/events`;
  for (;;) {
    try {
      const headers: Record<string, string> = last === null ? {} : { "last-event-id": last };
      for await (const event of serverEvents(path, { headers, signal }, SILENCE_MS)) {
        failures = 0;
        last = event.id ?? last;
        yield told(event);
        if (ENDS.has(event.event)) return;
      }
      failures += 1;
      wanted = 0;
    } catch (thrown) {
      if (signal.aborted) return;
      const error = asApiError(thrown);
      if (!error.isTransient) throw error;
      failures += 1;
      wanted = (error.retryAfterSeconds ?? 0) * 1000;
    }
    await pause(Math.max(wanted, Math.min(MAX_WAIT_MS, 250 * 2 ** failures)), signal);
    if (signal.aborted) return;
  }
}

function told(event: ServerEvent): RunEvent {
  return { kind: event.event, data: JSON.parse(event.data) as Record<string, Json>, id: event.id };
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    signal.addEventListener("abort", end);
  });
}
