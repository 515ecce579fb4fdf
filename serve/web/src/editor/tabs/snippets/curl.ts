/** Pure: the call as curl commands, for a POSIX shell. */
import { quoted } from "@/snippets/literals";

import { asPart, isForm, type SnippetRequest, urlOf, type Way } from "./request";

export const EXAMPLE_HOOK = "https://example.com/slipway";

export function curlOf(request: SnippetRequest, way: Way): string {
  if (way === "poll") return polled(request);
  const headers = [`-H "Authorization: Bearer $SLIPWAY_API_KEY"`];
  if (way === "wait") headers.push("-H 'Prefer: wait=60'");
  if (way === "stream") headers.push("-H 'Accept: text/event-stream'");
  const flags = way === "stream" ? "-sSN --fail-with-body" : "-sS --fail-with-body";
  return lines([`curl ${flags} ${quoted(urlOf(request))}`, ...headers, ...bodyOf(request, way)]);
}

function bodyOf(request: SnippetRequest, way: Way): string[] {
  const hook = way === "webhook" ? { webhook: { url: EXAMPLE_HOOK } } : {};
  if (!isForm(request))
    return ["-H 'Content-Type: application/json'", `-d ${quoted(JSON.stringify({ input: request.values, ...hook }))}`];
  const parts = Object.entries(request.values).map(
    ([name, value]) => `--form-string ${quoted(`${name}=${asPart(value)}`)}`,
  );
  const files = Object.entries(request.files).map(([name, file]) => `-F ${quoted(`${name}=@${file}`)}`);
  const options = way === "webhook" ? [`--form-string ${quoted(`_options=${JSON.stringify(hook)}`)}`] : [];
  return [...parts, ...files, ...options];
}

/** A refusal has no status that is waited on: it ends the loop, and is shown. */
function polled(request: SnippetRequest): string {
  const key = `-H "Authorization: Bearer $SLIPWAY_API_KEY"`;
  return [
    lines([`curl -sS ${quoted(urlOf(request))} -o run.json`, key, ...bodyOf(request, "poll")]),
    `run=$(sed -nE 's/.*"id":"([^"]+)","object":"run".*/\\1/p' run.json)`,
    `while [ "$run" ] && grep -Eq '"status":"(queued|running)"' run.json; do`,
    "  sleep 1",
    `  curl -sS "${request.origin}/v1/runs/$run" ${key} -o run.json`,
    "done",
    "cat run.json",
  ].join("\n");
}

function lines(parts: string[]): string {
  return parts.join(" \\\n  ");
}
