import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { startedRun } from "./starting";

const sent: (string | null)[] = [];
let answer: () => Response = () => new Response('{"id": "1"}', { status: 202 });

beforeEach(() => {
  sent.length = 0;
  vi.stubGlobal("fetch", (request: Request) => {
    sent.push(request.headers.get("idempotency-key"));
    return new Promise((resolve) => {
      resolve(answer());
    });
  });
});
afterEach(() => {
  vi.unstubAllGlobals();
});

const lost = () => {
  throw new TypeError("network");
};
const accepted = () => new Response('{"id": "1"}', { status: 202 });
const refused = () => new Response('{"error": {"code": "out_of_range", "message": "no"}}', { status: 422 });

describe("starting a run", () => {
  it("asks once more for the same run where the answer was lost", async () => {
    answer = lost;
    await expect(startedRun("/v1/models/a/runs", { input: 1 })).rejects.toMatchObject({ isOffline: true });
    answer = accepted;
    await startedRun("/v1/models/a/runs", { input: 1 });
    await startedRun("/v1/models/a/runs", { input: 1 });
    expect(sent[0]).toMatch(/^[0-9a-f]{32}$/);
    expect(sent[1]).toBe(sent[0]);
    expect(sent[2]).not.toBe(sent[0]);
  });

  it("makes one run of a wish that is told twice at the same moment", async () => {
    answer = accepted;
    await Promise.all([startedRun("/r", { input: 2 }), startedRun("/r", { input: 2 })]);
    expect(sent[1]).toBe(sent[0]);
  });

  it("takes another key for something else, and after a refusal", async () => {
    answer = refused;
    await expect(startedRun("/r", { input: 3 })).rejects.toMatchObject({ code: "out_of_range" });
    answer = accepted;
    await startedRun("/r", { input: 3 });
    await startedRun("/r", { input: 4 });
    expect(new Set(sent).size).toBe(3);
  });
});
