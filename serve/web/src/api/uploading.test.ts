import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { actAs } from "./client";
import type { Me } from "./types";
import { upload } from "./uploading";

const ANN = { user: { id: "ann" }, key_id: "", tenant: "acme" };
const tokens: (string | undefined)[] = [];
let answers: { status: number; text: string; retryAfter?: string }[] = [];

/** As much of the browser's as sending takes. */
class Sender {
  upload: { onprogress?: (told: { loaded: number; total: number; lengthComputable: boolean }) => void } = {};
  onload: () => void = () => undefined;
  onabort: () => void = () => undefined;
  status = 0;
  responseText = "";
  private retryAfter: string | null = null;
  private headers: Record<string, string> = {};
  open(): void {
    this.headers = {};
  }
  setRequestHeader(name: string, value: string): void {
    this.headers[name] = value;
  }
  getResponseHeader(): string | null {
    return this.retryAfter;
  }
  abort(): void {
    this.onabort();
  }
  send(): void {
    tokens.push(this.headers["x-csrf-token"]);
    const answer = answers.shift();
    if (answer === undefined) return;
    this.upload.onprogress?.({ loaded: 1, total: 2, lengthComputable: true });
    [this.status, this.responseText, this.retryAfter] = [answer.status, answer.text, answer.retryAfter ?? null];
    this.onload();
  }
}

beforeEach(() => {
  tokens.length = 0;
  vi.stubGlobal("XMLHttpRequest", Sender);
  vi.stubGlobal("fetch", () => Promise.resolve(Response.json({ me: { ...ANN, csrf_token: "new" } })));
  actAs({ ...ANN, csrf_token: "old" } as Me);
});
afterEach(() => {
  vi.unstubAllGlobals();
  actAs(null);
});

it("goes once more with the session's new token, where the same person has signed in anew", async () => {
  answers = [
    { status: 403, text: '{"error": {"code": "csrf_failed"}}' },
    { status: 201, text: '{"id": "a"}' },
  ];
  expect(await upload("/v1/assets", "bytes")).toMatchObject({ status: 201, body: { id: "a" } });
  expect(tokens).toEqual(["old", "new"]);
});

it("tells how much was sent, and why it was refused and for how long", async () => {
  const sent: number[] = [];
  answers = [{ status: 429, text: "<html>", retryAfter: "7" }];
  const sending = upload("/v1/assets", "bytes", { onSent: (some, total) => sent.push(some / total) });
  await expect(sending).rejects.toMatchObject({ status: 429, retryAfterSeconds: 7 });
  expect(sent).toEqual([0.5]);
});

it("stops where it is told to", async () => {
  answers = [];
  const stopper = new AbortController();
  const sending = upload("/v1/assets", "bytes", { signal: stopper.signal });
  stopper.abort();
  await expect(sending).rejects.toMatchObject({ name: "AbortError" });
});
