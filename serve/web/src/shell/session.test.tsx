import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, cleanup, render, screen } from "@testing-library/react";
import { useState } from "react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { actAs } from "@/api/client";
import { beforeOwnerLeaves, finishWriting } from "@/api/owner";
import type { Me } from "@/api/types";

import { SITE_KEY, useTurn } from "./session";

const me = (tenant: string) => ({ user: { id: "ann" }, key_id: "", tenant, csrf_token: tenant }) as Me;
let answers: Promise<Response>[] = [];

beforeEach(() => {
  vi.stubGlobal("fetch", () => answers.shift());
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
  actAs(null);
});

const site = (who: Me | null) => Promise.resolve(Response.json({ me: who }));

function View() {
  const [written] = useState(() => sessionStorage.getItem("draft") ?? "nothing");
  return <p>{written}</p>;
}

function Page() {
  return <View key={useTurn()} />;
}

/** A page whose first answer to who we are is `first`. */
async function opened(first: Me | null) {
  const queries = new QueryClient();
  answers = [site(first)];
  sessionStorage.setItem("draft", "a secret of acme's");
  render(
    <QueryClientProvider client={queries}>
      <Page />
    </QueryClientProvider>,
  );
  await act(() => vi.waitFor(() => expect(queries.getQueryData(SITE_KEY)).toBeDefined()));
  return queries;
}

it("shows the next tenant nothing of what the one before was shown or wrote", async () => {
  const queries = await opened(me("acme"));
  queries.setQueryData(["runs"], ["a run of acme's"]);
  expect(screen.getByText("a secret of acme's")).toBeDefined();
  answers = [site(me("beta"))];
  await act(() => queries.refetchQueries({ queryKey: SITE_KEY }));
  expect(await screen.findByText("nothing")).toBeDefined();
  expect(queries.getQueryData(["runs"])).toBeUndefined();
});

it("begins nothing anew while it is the same person in the same tenant", async () => {
  const queries = await opened(me("acme"));
  queries.setQueryData(["runs"], ["a run"]);
  answers = [site(me("acme"))];
  await act(() => queries.refetchQueries({ queryKey: SITE_KEY }));
  expect(screen.getByText("a secret of acme's")).toBeDefined();
  expect(queries.getQueryData(["runs"])).toEqual(["a run"]);
});

it("does not act as whoever an earlier answer names that comes late", async () => {
  const queries = await opened(null);
  let late: (answer: Response) => void = () => undefined;
  answers = [new Promise((resolve) => (late = resolve)), site(me("acme"))];
  void queries.refetchQueries({ queryKey: SITE_KEY });
  await act(() => queries.resetQueries({ queryKey: SITE_KEY }));
  late(Response.json({ me: null }));
  await act(() => Promise.resolve());
  const sent: (string | null)[] = [];
  vi.stubGlobal("fetch", (request: Request) => {
    sent.push(request.headers.get("x-csrf-token"));
    return Promise.resolve(new Response("{}"));
  });
  const { call } = await import("@/api/client");
  await call("/v1/runs", { method: "POST" });
  expect(sent).toEqual(["acme"]);
});

it("has what is being written written before it changes, and is not kept by what cannot be", async () => {
  const written: string[] = [];
  const stop = beforeOwnerLeaves(() => Promise.resolve(written.push("draft")));
  const fail = beforeOwnerLeaves(() => Promise.reject(new Error("offline")));
  await finishWriting();
  stop();
  fail();
  await finishWriting();
  expect(written).toEqual(["draft"]);
});
