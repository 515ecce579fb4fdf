/** An answer as it grows: the chunks of a stream folded into text, counts and the times that people feel. */
import { ApiError } from "@/api/errors";
import type { Cost } from "@/api/types";
import { strings } from "@/strings";

export type AnswerStatus = "streaming" | "done" | "stopped" | "failed";

export interface Tokens {
  prompt: number;
  completion: number;
  cached: number;
}

export interface Fault {
  code: string;
  message: string;
  retryAfterSeconds: number | null;
}

export interface Answer {
  model: string;
  text: string;
  status: AnswerStatus;
  /** Why the model ended, in its own word: "stop", "length", ... */
  reason: string | null;
  error: Fault | null;
  /** Told by the server at the end; unknown of what was stopped or failed. */
  tokens: Tokens | null;
  cost: Cost | null;
  /** From the request to the first text, as this browser saw it. */
  firstTextSeconds: number | null;
  /** From the request to the last text. */
  seconds: number | null;
}

export function emptyAnswer(model: string): Answer {
  return {
    model,
    text: "",
    status: "streaming",
    reason: null,
    error: null,
    tokens: null,
    cost: null,
    firstTextSeconds: null,
    seconds: null,
  };
}

/** A chunk of a chat or of a completion: of either, only what is shown. */
export interface Chunk {
  choices?: { delta?: { content?: string | null }; text?: string; finish_reason?: string | null }[];
  usage?: {
    prompt_tokens: number;
    completion_tokens: number;
    prompt_tokens_details?: { cached_tokens?: number };
    cost?: Cost | null;
  } | null;
  error?: { code?: string | null; message?: string; param?: string | null };
}

/** `answer` after `chunk`, which came `seconds` after the request. Raises ApiError where the chunk tells an error. */
export function grown(answer: Answer, chunk: Chunk, seconds: number): Answer {
  if (chunk.error !== undefined) throw toldIn(chunk.error);
  const choice = chunk.choices?.[0];
  const text = choice?.delta?.content ?? choice?.text ?? "";
  const usage = chunk.usage;
  return {
    ...answer,
    text: answer.text + text,
    reason: choice?.finish_reason ?? answer.reason,
    firstTextSeconds: answer.firstTextSeconds ?? (text === "" ? null : seconds),
    seconds: text === "" ? answer.seconds : seconds,
    tokens: usage
      ? {
          prompt: usage.prompt_tokens,
          completion: usage.completion_tokens,
          cached: usage.prompt_tokens_details?.cached_tokens ?? 0,
        }
      : answer.tokens,
    cost: usage?.cost ?? answer.cost,
  };
}

function toldIn(error: NonNullable<Chunk["error"]>): ApiError {
  return new ApiError(500, error.code ?? "stream_failed", error.message ?? strings.chat.broken, error.param ?? null);
}

/** Tokens per second after the first; null where there are too few to say. */
export function tokensPerSecond({ tokens, firstTextSeconds, seconds }: Answer): number | null {
  if (tokens === null || firstTextSeconds === null || seconds === null) return null;
  const took = seconds - firstTextSeconds;
  return tokens.completion < 2 || took <= 0 ? null : (tokens.completion - 1) / took;
}

export function failed(answer: Answer, error: ApiError): Answer {
  const { code, message, retryAfterSeconds } = error;
  return { ...answer, status: "failed", error: { code, message, retryAfterSeconds } };
}

export interface Segment {
  kind: "text" | "code";
  text: string;
  language: string;
}

const FENCE = /^ {0,3}```([^`\n]*)$/;

/** Text and the code that stands between lines of three backticks; a fence that is still open is code, too. */
export function segmentsOf(text: string): Segment[] {
  const segments: Segment[] = [];
  let lines: string[] = [];
  let language: string | null = null;
  const close = () => {
    const held = lines.join("\n");
    if (language !== null || held.trim() !== "") {
      segments.push({ kind: language === null ? "text" : "code", text: held, language: language ?? "" });
    }
    lines = [];
  };
  for (const line of text.split("\n")) {
    const fence = FENCE.exec(line);
    if (fence === null || (language !== null && fence[1]?.trim() !== "")) {
      lines.push(line);
      continue;
    }
    close();
    language = language === null ? (fence[1]?.trim() ?? "") : null;
  }
  close();
  return segments;
}
