/** For a shell: curl alone, without tools that may not be there. */
import type { Json } from "@/api/types";

import { shellJson } from "./literals";
import type { Call, Way } from "./snippets";

const KEY = `-H "Authorization: Bearer $SLIPWAY_API_KEY"`;
const TYPE = `-H 'Content-Type: application/json'`;

export function curl({ origin, model, body }: Call, way: Way): string {
  const url = `${origin}/v1/models/${model}/runs`;
  const data = shellJson(body as unknown as Json);
  if (way === "sync") return `curl ${url} \\\n  ${KEY} ${TYPE} -H 'Prefer: wait=60' \\\n  -d ${data}\n`;
  const start = `RUN=$(curl -s ${url} \\
  ${KEY} ${TYPE} \\
  -d ${data} |
  grep -o '"id":"[^"]*"' | head -1 | cut -d'"' -f4)\n`;
  if (way === "stream") return `${start}curl -N ${origin}/v1/runs/$RUN/events ${KEY}\n`;
  return `${start}until curl -s ${origin}/v1/runs/$RUN ${KEY} | grep -qE '"status":"(succeeded|failed|canceled)"'; do sleep 1; done
curl -s ${origin}/v1/runs/$RUN ${KEY}\n`;
}
