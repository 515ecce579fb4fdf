import { describe, expect, it } from "vitest";

import { ApiError } from "@/api/errors";
import { ownerOf } from "@/api/owner";

import { type Answer, type Chunk, emptyAnswer, grown, segmentsOf, tokensPerSecond } from "./answers";
import {
  bounded,
  type Conversation,
  MAX_KEPT,
  messagesFor,
  placeOf,
  read,
  withAnswer,
  withTurn,
  write,
} from "./conversations";
import { cosine, linesOf, matrixOf } from "./similarity";
import { snippet } from "./snippets";

const said = (content: string): Chunk => ({ choices: [{ delta: { content } }] });

function conversation(changed: Partial<Conversation> = {}): Conversation {
  return { id: "c", page: "m", system: "", models: ["m"], values: {}, turns: [], updated: 1, ...changed };
}

describe("an answer", () => {
  it("is its chunks' texts, with the time of the first and the last", () => {
    let answer = emptyAnswer("m");
    answer = grown(answer, said(""), 0.1);
    answer = grown(answer, said("Hel"), 0.2);
    answer = grown(answer, said("lo"), 0.7);
    answer = grown(answer, { choices: [{ delta: {}, finish_reason: "length" }] }, 0.8);
    const usage = { prompt_tokens: 3, completion_tokens: 6, cost: { nano_usd: 9, usd: "0.000000009" } };
    answer = grown(answer, { choices: [], usage }, 0.9);
    expect(answer).toMatchObject({ text: "Hello", reason: "length", firstTextSeconds: 0.2, seconds: 0.7 });
    expect(answer.tokens).toEqual({ prompt: 3, completion: 6, cached: 0 });
    expect(answer.cost?.nano_usd).toBe(9);
    expect(tokensPerSecond(answer)).toBeCloseTo(10);
  });

  it("of a completion reads `text`", () => {
    expect(grown(emptyAnswer("m"), { choices: [{ text: " Paris" }] }, 1).text).toBe(" Paris");
  });

  it("fails by an error in the stream", () => {
    expect(() => grown(emptyAnswer("m"), { error: { code: "engine_failed", message: "it broke" } }, 1)).toThrow(
      ApiError,
    );
  });

  it("has no speed of one token", () => {
    const answer: Answer = {
      ...emptyAnswer("m"),
      tokens: { prompt: 1, completion: 1, cached: 0 },
      firstTextSeconds: 1,
      seconds: 1,
    };
    expect(tokensPerSecond(answer)).toBeNull();
  });
});

describe("fences", () => {
  it("part code from text", () => {
    expect(segmentsOf("see:\n```py\nx = 1\n```\ndone")).toEqual([
      { kind: "text", text: "see:", language: "" },
      { kind: "code", text: "x = 1", language: "py" },
      { kind: "text", text: "done", language: "" },
    ]);
  });
  it("that are open still are code", () => {
    expect(segmentsOf("```\n<b>no</b>")).toEqual([{ kind: "code", text: "<b>no</b>", language: "" }]);
  });
});

describe("conversations", () => {
  it("send each column what it was told before", () => {
    const answer = (text: string): Answer => ({ ...emptyAnswer("m"), text, status: "done" });
    let talk = withTurn(conversation({ system: "be brief", models: ["a", "b"] }), 0, "hi", 2);
    talk = withAnswer(talk, talk.turns[0]?.id ?? "", 1, answer("B"));
    talk = withAnswer(talk, talk.turns[0]?.id ?? "", 0, answer("A"));
    talk = withTurn(talk, 1, "more", 3);
    expect(messagesFor(talk, 1, 1).map(({ content }) => content)).toEqual(["be brief", "hi", "B", "more"]);
    expect(messagesFor(talk, 1, 0).map(({ content }) => content)).toEqual(["be brief", "hi", "A", "more"]);
  });

  it("forget what came after a message that is asked anew", () => {
    const talk = withTurn(withTurn(conversation(), 0, "one", 1), 1, "two", 2);
    expect(withTurn(talk, 0, "uno", 3).turns.map(({ text }) => text)).toEqual(["uno"]);
  });

  it("are kept by tenant and person, so many at the most, the newest", () => {
    const kept = new Map<string, string>();
    const store = {
      getItem: (name: string) => kept.get(name) ?? null,
      setItem: (name: string, text: string) => kept.set(name, text),
    };
    const many = Array.from({ length: MAX_KEPT + 5 }, (_, n) => withTurn(conversation({ id: String(n) }), 0, "q", n));
    write(store, ownerOf({ tenant: "acme", key_id: "k", user: { id: "ann", email: "", name: "" } }), many);
    expect([...kept.keys()]).toEqual([placeOf("acme/ann")]);
    expect(read(store, "acme/ann")).toHaveLength(MAX_KEPT);
    expect(read(store, "acme/ann")[0]?.id).toBe(String(MAX_KEPT + 4));
    expect(read(store, "acme/bob")).toEqual([]);
    expect(bounded([withTurn(conversation(), 0, "x".repeat(700_000), 1)])).toEqual([]);
  });

  it("that cannot be read are none, and a store that is full is no error", () => {
    expect(read({ getItem: () => "{" }, "a")).toEqual([]);
    expect(read({ getItem: () => '[{"id": 1}]' }, "a")).toEqual([]);
    expect(() => {
      write(
        {
          setItem: () => {
            throw new DOMException("full", "QuotaExceededError");
          },
        },
        "a",
        [],
      );
    }).not.toThrow();
  });
});

describe("code", () => {
  const body = { model: "m", messages: [{ role: "user", content: 'it\'s "so"\n' }], top_k: 3 };
  it("quotes for the shell", () => {
    expect(snippet("curl", "chat", body, "http://h", true)).toContain(`it'\\''s \\"so\\"\\n`);
  });
  it("gives Python's client what it knows by name and the rest by extra_body", () => {
    const code = snippet("python", "chat", body, "http://h", false);
    expect(code).toContain('extra_body={"top_k": 3}');
    expect(code).not.toContain("stream=True");
  });
});

describe("likeness", () => {
  it("is the cosine", () => {
    expect(cosine([1, 0], [0, 2])).toBe(0);
    expect(cosine([0, 0], [1, 1])).toBe(0);
    expect(
      matrixOf([
        [3, 4],
        [6, 8],
      ])[0]?.[1],
    ).toBeCloseTo(1);
    expect(linesOf(" a \n\n b")).toEqual(["a", "b"]);
  });
});
