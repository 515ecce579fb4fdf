/** Pure: the call as curl commands, for a POSIX shell. */
import { asPart, isForm, type SnippetRequest, urlOf, type Way } from "./request";

export const EXAMPLE_HOOK = "https://example.com/slipway";

/** `text` as one word of a shell. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

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

function polled(request: SnippetRequest): string {
  const start = lines([
    `curl -sS ${quoted(urlOf(request))}`,
    `-H "Authorization: Bearer $SLIPWAY_API_KEY"`,
    ...bodyOf(request, "poll"),
  ]);
  return [
    `run=$(${start} | sed -E 's/.*"id":"([^"]+)","object":"run".*/\\1/')`,
    `while curl -sS "${request.origin}/v1/runs/$run" -H "Authorization: Bearer $SLIPWAY_API_KEY" -o run.json; do`,
    `  grep -Eq '"status":"(succeeded|failed|canceled)"' run.json && break`,
    "  sleep 1",
    "done",
    "cat run.json",
  ].join("\n");
}

function lines(parts: string[]): string {
  return parts.join(" \\\n  ");
}
