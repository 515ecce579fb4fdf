/** Server-sent events over fetch, which unlike EventSource can POST, be aborted and say why it failed. */
import { call } from "./client";

export interface ServerEvent {
  event: string;
  data: string;
  id: string | null;
}

/** The events of one response, until it ends. Raises ApiError where the request is refused or the stream breaks. */
export async function* serverEvents(path: string, init: RequestInit = {}): AsyncGenerator<ServerEvent> {
  const headers = new Headers(init.headers);
  headers.set("accept", "text/event-stream");
  const response = await call(path, { ...init, headers });
  if (response.body === null) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      rest += value;
      const blocks = rest.split(/\r?\n\r?\n/);
      rest = blocks.pop() ?? "";
      for (const block of blocks) {
        const event = parsed(block);
        if (event !== null) yield event;
      }
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

/** A block of lines as an event; null for a comment, as heartbeats are. */
export function parsed(block: string): ServerEvent | null {
  let event = "message";
  let id: string | null = null;
  const data: string[] = [];
  for (const line of block.split(/\r?\n/)) {
    if (line.startsWith(":")) continue;
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") event = value;
    else if (field === "data") data.push(value);
    else if (field === "id") id = value;
  }
  return data.length === 0 ? null : { event, data: data.join("\n"), id };
}
