import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { all, connect, type Doc, EMPTY_DOCUMENT, setMap } from "./document";
import { anyGraph, endsAt, numbers, TYPES } from "./drawn-documents";
import { canJoin } from "./joining";
import { addNode } from "./nodes";
import { ancestorsOf } from "./ordering";
import { portsOf } from "./ports";
import { newlyWrong, wrongInto, wrongLinks } from "./wrong-links";

const RUNS = Number(process.env["RUNS"] ?? 60);

function nodes(types: Record<string, string>): Doc {
  return Object.entries(types).reduce((doc, [name, type]) => addNode({ name, type })(doc), EMPTY_DOCUMENT);
}

describe("links that are wrong", () => {
  it("a link that is drawn is right itself, and what it makes wrong is behind it, and told", () => {
    fc.assert(
      fc.property(anyGraph(), numbers, (doc, chosen) => {
        const ends = endsAt(doc, chosen);
        if (ends === null) return;
        const joining = canJoin(doc, TYPES, ...ends);
        const after = connect(TYPES, ...ends)(doc);
        for (const { link, reason } of newlyWrong(doc, after, TYPES)) {
          expect(joining.ok).toBe(true);
          expect(reason).not.toBe("");
          expect(link.target.node).not.toBe(ends[1].node);
          expect(ancestorsOf(after, link.target.node)).toContain(ends[1].node);
        }
      }),
      { numRuns: RUNS },
    );
  });

  it("whatever does not go with the others at a node is told of one of its links", () => {
    fc.assert(
      fc.property(anyGraph(), (doc) => {
        for (const { name, odd } of portsOf(doc, TYPES).values()) {
          const told = wrongInto(doc, TYPES, name).map(({ link }) => link.target.port);
          if (odd !== null) expect(told).toContain(odd.port);
        }
      }),
      { numRuns: RUNS },
    );
  });

  it("a node that is run over a list gives lists from then on", () => {
    const doc = all(connect(TYPES, { node: "b", port: "text" }, { node: "l", port: "item" }))(
      nodes({ a: "op:text.split", b: "op:text.trim", l: "op:list.make" }),
    );
    expect(wrongLinks(doc, TYPES).size).toBe(0);
    const after = connect(TYPES, { node: "a", port: "texts" }, { node: "b", port: "text" })(doc);
    expect(after.nodes?.["b"]?.map).toEqual(["text"]);
    const wrong = newlyWrong(doc, after, TYPES);
    expect(wrong.map(({ link, reason }) => [link.id, reason])).toEqual([["l/item_1", "there are no lists of lists"]]);
    expect(newlyWrong(after, setMap("b", "text", false)(after), TYPES).map(({ link }) => link.target.node)).toEqual([
      "b",
    ]);
  });
});
