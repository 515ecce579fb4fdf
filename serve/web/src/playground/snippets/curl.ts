/** For a shell: curl alone, without tools that may not be there. */
import type { Json } from "@/api/types";

import { hasPictures, shellJson } from "./literals";
import type { Call, Way } from "./snippets";

const KEY = `-H "Authorization: Bearer $SLIPWAY_API_KEY"`;
const TYPE = `-H 'Content-Type: application/json'`;

export function curl(call: Call, way: Way): string {
  if (way === "sync") return posted(call, `${KEY} ${TYPE} -H 'Prefer: wait=60'`);
  const { origin } = call;
  const start = `${posted(call, `-s -o run.json ${KEY} ${TYPE}`)}RUN=$(grep -o '"id":"[^"]*"' run.json | head -1 | cut -d'"' -f4)\n`;
  if (way === "stream") return `${start}curl -N ${origin}/v1/runs/$RUN/events ${KEY}\n`;
  // A refusal has no status that is waited on: it ends the loop, and is shown.
  return `${start}while [ "$RUN" ] && grep -qE '"status":"(queued|running)"' run.json; do
  sleep 1
  curl -s -o run.json ${origin}/v1/runs/$RUN ${KEY}
done
cat run.json\n`;
}

/** Pictures go through a pipe: they are longer than an argument may be. */
function posted({ origin, model, body }: Call, flags: string): string {
  const url = `${origin}/v1/models/${model}/runs`;
  const data = shellJson(body as unknown as Json);
  if (hasPictures(body as unknown as Json)) return `printf %s ${data} |\n  curl ${url} \\\n  ${flags} \\\n  -d @-\n`;
  return `curl ${url} \\\n  ${flags} \\\n  -d ${data}\n`;
}
