/** What goes wrong between the page and the API, in one shape: a code for programs, a sentence for people. */
import { strings } from "@/strings";

interface Envelope {
  error?: { code?: string | null; message?: string; param?: string | null };
}

/** An answer of the API that is no success, or none at all (`status` 0, code `offline`). */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly param: string | null = null,
    readonly retryAfterSeconds: number | null = null,
    readonly details: Record<string, unknown> = {},
  ) {
    super(message);
    this.name = "ApiError";
  }

  get isOffline(): boolean {
    return this.status === 0;
  }

  /** Whether the same call may succeed later without any change. */
  get isTransient(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** The API adds for programs which call helps ("GET /v1/models lists them."); people have links. */
export function forPeople(message: string): string {
  return message.replace(/(?:(?<=\.)|;) (GET|POST|PUT|PATCH|DELETE) \/v1\/\S* [^.;]*\.?$/, "");
}

/** The error that `response` tells; its body may be the envelope, anything else, or missing. */
export function errorOf(response: Response, body: unknown): ApiError {
  const told = (body as Envelope | undefined)?.error ?? {};
  const retry = Number(response.headers.get("retry-after"));
  return new ApiError(
    response.status,
    told.code ?? `http_${String(response.status)}`,
    told.message === undefined ? strings.errors.answered(response.status) : forPeople(told.message),
    told.param ?? null,
    Number.isFinite(retry) && retry > 0 ? retry : null,
    told as Record<string, unknown>,
  );
}

/** Anything thrown, as an error of the API: what the network threw is `offline`. */
export function asApiError(thrown: unknown): ApiError {
  if (thrown instanceof ApiError) return thrown;
  if (thrown instanceof TypeError) return new ApiError(0, "offline", strings.errors.offline);
  if (thrown instanceof DOMException && thrown.name === "TimeoutError")
    return new ApiError(0, "timeout", strings.errors.timeout);
  return new ApiError(-1, "page_fault", strings.errors.fault);
}

export function isAborted(thrown: unknown): boolean {
  return thrown instanceof DOMException && thrown.name === "AbortError";
}
