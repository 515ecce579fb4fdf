/** Server-sent events over fetch, which unlike EventSource can POST, be aborted and say why it failed. */
import { strings } from "@/strings";

import { ApiError, call } from "./client";

export interface ServerEvent {
  event: string;
  data: string;
  id: string | null;
}

/** The events of one response, until it ends. Raises ApiError where the request is refused, the stream breaks, or nothing
 * at all comes for `silenceMs`: a connection that is gone, as after the computer slept, does not say so. */
export async function* serverEvents(
  path: string,
  init: RequestInit = {},
  silenceMs = Infinity,
): AsyncGenerator<ServerEvent> {
  const headers = new Headers(init.headers);
  headers.set("accept", "text/event-stream");
  const response = await call(path, { ...init, headers });
  if (response.body === null) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await heard(reader.read(), silenceMs);
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

async function heard<T>(reading: Promise<T>, silenceMs: number): Promise<T> {
  if (silenceMs === Infinity) return reading;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new ApiError(0, "silent", strings.errors.timeout));
    }, silenceMs);
  });
  try {
    return await Promise.race([reading, silence]);
  } finally {
    clearTimeout(timer);
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
