/** Starting runs. Each wish is one run, even where its answer was lost and the button is pressed once more. */
import { call } from "./client";
import { asApiError } from "./errors";
import { freshId } from "./fresh-id";
import type { Json, Run } from "./types";

/** The last wish that nobody has answered yet. */
let open: { wish: string; key: string } | null = null;

/** POST `body` to `path` (`/v1/models/x/runs`, `/v1/workflows/x/runs`). With `revision` of what is run, where that can
 * change: of another one it is another wish. Raises ApiError. */
export async function startedRun(path: string, body: { [name: string]: Json }, revision = ""): Promise<Run> {
  const text = JSON.stringify(body);
  const mine = wished(`${path} ${revision} ${text}`);
  const headers = { "content-type": "application/json", prefer: "respond-async", "idempotency-key": mine.key };
  try {
    const response = await call(path, { method: "POST", headers, body: text });
    const run = (await response.json()) as Run;
    answered(mine);
    return run;
  } catch (thrown) {
    // Without an answer the run may have begun: the same wish under the same key finds it.
    if (!asApiError(thrown).isTransient) answered(mine);
    throw thrown;
  }
}

function wished(wish: string): { wish: string; key: string } {
  if (open?.wish !== wish) open = { wish, key: freshId() };
  return open;
}

function answered(mine: { wish: string }): void {
  if (open === mine) open = null;
}
