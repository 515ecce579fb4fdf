import fc from "fast-check";
import { describe, expect, it } from "vitest";

import type { NodeType } from "@/editor/node-types";

import { anyDocument, TYPES } from "./drawn-documents";
import {
  all,
  connect,
  type Doc,
  disconnect,
  type Edit,
  EMPTY_DOCUMENT,
  reconnect,
  setInput,
  setMap,
  WHEN,
} from "./document";
import { bestPort, compatible } from "./compatible";
import { canJoin } from "./joining";
import joins from "./joins.json";
import { linksInto, linksOf } from "./links";
import { addNode } from "./nodes";
import { type InputPort, outputPort, portsOf } from "./ports";
import { parseType, typeOf, typeText } from "./port-types";

function made(type: string, inputs: [string, string][], outputs: [string, string][]): NodeType {
  const ports = (all: [string, string][]) => all.map(([name, of]) => ({ name, type: of }));
  return { type, title: type, description: "", category: "", tags: [], inputs: ports(inputs), outputs: ports(outputs) };
}

const OF_TYPES = joins.types.flatMap((type) => [
  made(`op:gives.${type}`, [], [["out", type]]),
  made(`op:takes.${type}`, [["in", type]], [["out", "json"]]),
]);
const ALL = [...OF_TYPES, ...TYPES];

function nodes(types: Record<string, string>): Doc {
  return Object.entries(types).reduce((doc, [name, type]) => addNode({ name, type })(doc), EMPTY_DOCUMENT);
}

function answer(doc: Doc, source: string, node: string, port: string): string {
  const [from = "", output = ""] = source.split(".");
  const joining = canJoin(doc, ALL, { node: from, port: output }, { node, port });
  if (!joining.ok) return joining.reason;
  return joining.maps ? "map" : joining.target.path.length > 0 ? "item" : "whole";
}

describe("joining agrees with the compiler", () => {
  const table = joins.joins as Record<string, Record<string, string>>;
  it.each(joins.types)("%s goes where the compiler takes it, and nowhere else", (given) => {
    for (const wanted of joins.types) {
      const doc = nodes({ from: `op:gives.${given}`, it: `op:takes.${wanted}` });
      const told = answer(doc, "from.out", "it", "in");
      const expected = table[given]?.[wanted];
      if (expected === undefined) expect(["whole", "item", "map"], `${given} to ${wanted}`).not.toContain(told);
      else expect(told, `${given} to ${wanted}`).toBe(expected);
    }
  });

  const ports: Record<string, [string, string]> = {
    condition: ["then", "else"],
    "list.make": ["item_1", "item_2"],
    "list.concat": ["list_1", "list_2"],
  };
  it.each(Object.entries(joins.generic))("%s finds the same T", (name, answers) => {
    const [first, second] = ports[name] as [string, string];
    for (const one of joins.types)
      for (const other of joins.types) {
        const doc = nodes({ one: `op:gives.${one}`, other: `op:gives.${other}`, it: `op:${name}` });
        const half = connect(ALL, { node: "one", port: "out" }, { node: "it", port: first })(doc);
        const joined = connect(ALL, { node: "other", port: "out" }, { node: "it", port: second })(half);
        const given = Object.values(joined.nodes?.["it"]?.inputs ?? {});
        // A single value becomes an item of a list, which the compiler was not asked about.
        if (given.some(Array.isArray)) continue;
        const expected = (answers as Record<string, Record<string, string>>)[one]?.[other];
        expect(given.length === 2, `${one} and ${other}`).toBe(expected !== undefined);
        const out = portsOf(joined, ALL).get("it")?.outputs[0]?.type;
        if (expected !== undefined) expect(out && typeText(out), `${one} and ${other}`).toBe(expected);
      }
  });
});

const JOIN: Edit = connect(ALL, { node: "a", port: "out" }, { node: "b", port: "in" });

describe("refusing", () => {
  it("says which types do not go together", () => {
    expect(answer(nodes({ a: "op:gives.image", b: "op:takes.text" }), "a.out", "b", "in")).toBe(
      "an image cannot go where a text goes",
    );
  });

  it("names the circle", () => {
    const doc = nodes({ a: "op:json.parse", b: "op:text.join", c: "op:text.trim" });
    const chain = all(
      connect(ALL, { node: "a", port: "value" }, { node: "b", port: "texts" }),
      setInput("c", "text", { $ref: ["b", "text"] }),
      setInput("b", "texts", [{ $ref: ["a", "value"] }]),
    )(doc);
    expect(answer(chain, "c.text", "a", "text")).toBe("this would be a circle: a -> b -> c -> a");
    expect(answer(chain, "a.value", "a", "text")).toBe("a node cannot feed itself");
  });

  it("tells that an adapter is known beforehand", () => {
    const doc = nodes({ a: "op:gives.text", b: "op:takes.adapter" });
    expect(answer(doc, "a.out", "b", "in")).toBe("an adapter must be known when the run starts");
  });

  it("tells which of the values is unlike the others", () => {
    const doc = nodes({ a: "op:gives.text", b: "op:gives.image", c: "op:condition" });
    const half = connect(ALL, { node: "a", port: "out" }, { node: "c", port: "then" })(doc);
    expect(answer(half, "b.out", "c", "else")).toBe("its values are all alike: an image does not go with a text");
  });
});

describe("occupied inputs", () => {
  const doc = nodes({ a: "op:gives.text", b: "op:takes.text", c: "op:gives.number" });

  it("take the new link in place of the old one", () => {
    const joined = JOIN(doc);
    const joining = canJoin(joined, ALL, { node: "c", port: "out" }, { node: "b", port: "in" });
    expect(joining.ok && joining.replaces?.source.node).toBe("a");
    const again = connect(ALL, { node: "c", port: "out" }, { node: "b", port: "in" })(joined);
    expect(linksOf(again).map((link) => link.source.node)).toEqual(["c"]);
  });

  it("of lists take several, and of those that stand for many a new one", () => {
    const lists = nodes({ a: "op:gives.text", c: "op:gives.number", l: "op:takes.list[text]", m: "op:list.make" });
    const into = (from: string, node: string, port: string) =>
      connect(ALL, { node: from, port: "out" }, { node, port });
    const joined = all(
      into("a", "l", "in"),
      into("c", "l", "in"),
      into("a", "m", "item"),
      into("c", "m", "item"),
    )(lists);
    expect(joined.nodes?.["l"]?.inputs).toEqual({ in: [{ $ref: ["a", "out"] }, { $ref: ["c", "out"] }] });
    expect(Object.keys(joined.nodes?.["m"]?.inputs ?? {})).toEqual(["item_1", "item_2"]);
    const freed = disconnect([linksInto(joined, "l")[0]?.id ?? ""])(joined);
    expect(freed.nodes?.["l"]?.inputs).toEqual({ in: [{ $ref: ["c", "out"] }] });
    expect(disconnect(linksInto(joined, "l").map((link) => link.id))(joined).nodes?.["l"]).toEqual({
      type: "op:takes.list[text]",
    });
  });

  it("run once for each item of a list, until a single value comes", () => {
    const mapped = all(connect(ALL, { node: "a", port: "out" }, { node: "b", port: "in" }))(
      nodes({ a: "op:gives.list[text]", b: "op:takes.text", c: "op:gives.text" }),
    );
    expect(mapped.nodes?.["b"]?.map).toEqual(["in"]);
    expect(outputPort(portsOf(mapped, ALL).get("b"), "out")?.type).toBe(typeOf("json", true));
    const single = connect(ALL, { node: "c", port: "out" }, { node: "b", port: "in" })(mapped);
    expect(single.nodes?.["b"]).toEqual({ type: "op:takes.text", inputs: { in: { $ref: ["c", "out"] } } });
    expect(disconnect(linksInto(mapped, "b").map((link) => link.id))(mapped).nodes?.["b"]).toEqual({
      type: "op:takes.text",
    });
  });

  it("of the condition take yes or no", () => {
    const doc = nodes({ a: "op:gives.boolean", b: "op:takes.text", c: "op:gives.text" });
    expect(connect(ALL, { node: "a", port: "out" }, { node: "b", port: WHEN })(doc).nodes?.["b"]?.when).toEqual({
      $ref: ["a", "out"],
    });
    expect(answer(doc, "c.out", "b", WHEN)).toBe("a condition is a yes or no, not a text");
  });

  it("let an end be moved, and stay as they are where that is refused", () => {
    const doc = JOIN(nodes({ a: "op:gives.text", b: "op:takes.text", c: "op:takes.text", d: "op:takes.image" }));
    const id = linksOf(doc)[0]?.id ?? "";
    const moved = reconnect(ALL, id, { node: "a", port: "out" }, { node: "c", port: "in" })(doc);
    expect(linksOf(moved).map((link) => link.target.node)).toEqual(["c"]);
    expect(reconnect(ALL, id, { node: "a", port: "out" }, { node: "d", port: "in" })(doc)).toBe(doc);
  });
});

it("finds node types for the end of a link, the nearest first", () => {
  const fits = compatible(ALL, parseType("mask"), "output");
  expect(fits[0]?.type.type).toBe("op:takes.mask");
  expect(fits.map((fit) => fit.type.type)).not.toContain("op:takes.text");
  expect(compatible(ALL, parseType("text"), "input").map((fit) => fit.type.type)).toContain("op:gives.number");
  const painter = TYPES.find((one) => one.task === "text_to_image") as NodeType;
  expect(bestPort(painter, parseType("text"), "output")?.port.name).toBe("prompt");
});

function isTaken(doc: Doc, node: string, { name, isMapped }: InputPort): boolean {
  return isMapped || doc.nodes?.[node]?.inputs?.[name] !== undefined;
}

it("gives and takes back: a link that is made and cut leaves nothing", () => {
  fc.assert(
    fc.property(anyDocument(), fc.nat(), fc.nat(), (doc, from, to) => {
      const ports = [...portsOf(doc, TYPES).values()];
      const [source, target] = [ports[from % ports.length], ports[to % ports.length]];
      for (const output of source?.outputs ?? [])
        for (const input of target?.inputs ?? []) {
          if (!source || !target || isTaken(doc, target.name, input)) continue;
          const ends = [
            { node: source.name, port: output.name },
            { node: target.name, port: input.name },
          ] as const;
          const joined = connect(TYPES, ...ends)(doc);
          if (joined === doc) continue;
          const fresh = linksInto(joined, target.name, input.name).map((link) => link.id);
          expect(JSON.stringify(disconnect(fresh)(joined))).toBe(JSON.stringify(doc));
        }
    }),
    { numRuns: 60 },
  );
});

it("leaves a list that is mapped alone where an item is added to it", () => {
  const doc = nodes({ a: "op:gives.text", b: "op:takes.text" });
  const listed = all(setInput("b", "in", ["x"]), setMap("b", "in", true), JOIN)(doc);
  expect(listed.nodes?.["b"]).toEqual({
    type: "op:takes.text",
    inputs: { in: ["x", { $ref: ["a", "out"] }] },
    map: ["in"],
  });
});
