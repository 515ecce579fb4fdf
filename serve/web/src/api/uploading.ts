/** Sending files with progress: XMLHttpRequest, because fetch does not tell how much of a body has gone. */
import { strings } from "@/strings";

import { isOldToken, noticeEnd, renewedToken, sessionHeaders } from "./client";
import { ApiError, errorOf } from "./errors";

export interface Sending {
  /** By the browser for forms, whose parts it divides itself. */
  mediaType?: string;
  onSent?: (sent: number, total: number) => void;
  signal?: AbortSignal;
}

export interface Received {
  status: number;
  body: unknown;
}

/** POSTs `body`. Raises ApiError unless it succeeded, and AbortError where the signal says so. */
export async function upload(path: string, body: XMLHttpRequestBodyInit, sending: Sending = {}): Promise<Received> {
  let answer = await posted(path, body, sending, sessionHeaders());
  if (answer.status === 403 && isOldToken(answer.body))
    answer = await posted(path, body, sending, { "x-csrf-token": await renewedToken() });
  noticeEnd(answer.status);
  if (answer.status >= 200 && answer.status < 300) return answer;
  throw errorOf(new Response(null, { status: answer.status, headers: answer.headers }), answer.body);
}

function posted(
  path: string,
  body: XMLHttpRequestBodyInit,
  { mediaType, onSent, signal }: Sending,
  headers: Record<string, string>,
): Promise<Received & { headers: Record<string, string> }> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    if (mediaType !== undefined) request.setRequestHeader("content-type", mediaType);
    request.upload.onprogress = ({ loaded, total, lengthComputable }) => {
      if (lengthComputable) onSent?.(loaded, total);
    };
    const stop = () => {
      request.abort();
    };
    const ended = () => signal?.removeEventListener("abort", stop);
    request.onload = () => {
      ended();
      const retry = request.getResponseHeader("retry-after");
      const told: Record<string, string> = retry === null ? {} : { "retry-after": retry };
      resolve({ status: request.status, body: parsed(request.responseText), headers: told });
    };
    request.onerror = () => {
      ended();
      reject(new ApiError(0, "offline", strings.errors.offline));
    };
    request.onabort = () => {
      ended();
      reject(new DOMException("stopped", "AbortError"));
    };
    signal?.addEventListener("abort", stop);
    if (signal?.aborted) reject(new DOMException("stopped", "AbortError"));
    else request.send(body);
  });
}

/** Undefined for what is no JSON: a proxy's page, say. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
