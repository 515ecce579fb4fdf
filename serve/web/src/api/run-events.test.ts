import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { followRun } from "./run-events";

const asked: (string | null)[] = [];
let answers: (() => Response)[] = [];

beforeEach(() => {
  vi.useFakeTimers();
  asked.length = 0;
  vi.stubGlobal("fetch", (request: Request) => {
    asked.push(request.headers.get("last-event-id"));
    const answer = answers.shift() ?? (() => new Response(null, { status: 500 }));
    return Promise.resolve(answer());
  });
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** A stream that says `text`, and then nothing for ever where `isLeftOpen`. */
function stream(text: string, isLeftOpen = false): () => Response {
  const body = () =>
    new ReadableStream({
      start(control) {
        control.enqueue(new TextEncoder().encode(text));
        if (!isLeftOpen) control.close();
      },
    });
  return () => new Response(body());
}

async function kinds(): Promise<string[]> {
  const told: string[] = [];
  for await (const { kind } of followRun("r", new AbortController().signal)) told.push(kind);
  return told;
}

async function kindsOf(milliseconds: number): Promise<string[]> {
  const following = kinds();
  await vi.advanceTimersByTimeAsync(milliseconds);
  return following;
}

const STARTED = "id: 1\nevent: started\ndata: {}\n\n";
const SUCCEEDED = "id: 2\nevent: succeeded\ndata: {}\n\n";

it("goes on where the connection broke", async () => {
  answers = [stream(STARTED), stream(SUCCEEDED)];
  expect(await kindsOf(2_000)).toEqual(["started", "succeeded"]);
  expect(asked).toEqual([null, "1"]);
});

it("does not wait for ever on a connection that says nothing any more", async () => {
  answers = [stream(STARTED, true), stream(SUCCEEDED)];
  expect(await kindsOf(60_000)).toEqual(["started", "succeeded"]);
});

it("comes back no sooner than it was asked to", async () => {
  const refusal = () => new Response("{}", { status: 429, headers: { "retry-after": "20" } });
  answers = [refusal, stream(SUCCEEDED)];
  const following = kinds();
  await vi.advanceTimersByTimeAsync(19_000);
  expect(asked.length).toBe(1);
  await vi.advanceTimersByTimeAsync(3_000);
  expect(await following).toEqual(["succeeded"]);
});
