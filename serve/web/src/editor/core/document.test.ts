import fc from "fast-check";
import { describe, expect, it } from "vitest";

import type { Json } from "@/api/types";

import {
  addNode,
  all,
  clearInput,
  collapse,
  copy,
  type Doc,
  duplicate,
  EMPTY_DOCUMENT,
  exposeInput,
  exposeOutput,
  fittingInputs,
  giveInterfaceInput,
  group,
  moveInput,
  moveOutput,
  moveNodes,
  nodesOf,
  paste,
  placeOf,
  readClip,
  removeNodes,
  renameInput,
  renameNode,
  setInput,
  setInterfaceInput,
  setInterfaceOutput,
  setTitle,
  unexposeField,
  unexposeInput,
} from "./document";
import { anyDocument, anyEdit } from "./drawn-documents";
import { NO_HISTORY, recorded, redone, undone } from "./history";
import { align, distribute, placeBeside, placed, snap, tidy } from "./layout";
import { freshName, isName, nameFault, nameFrom, nameForType } from "./names";
import { mapReferences, partsOf, plainOf, writtenOf } from "./values";

const text = (doc: Doc) => JSON.stringify(doc);

const DOC = JSON.parse(`{
  "title": "postcard", "format": "workflow/v1", "unknown": {"kept": [1]},
  "interface": {"outputs": [{"name": "card", "from": ["paint", "image"], "later": true}],
                "inputs": [{"name": "subject", "type": "text", "default": "star"}]},
  "nodes": {
    "words": {"inputs": {"template": "a {what}", "value_what": {"$input": "subject"}}, "type": "op:text.template"},
    "paint": {"type": "model:sd15", "x": 1, "inputs": {"steps": 20, "prompt": {"$ref": ["words", "text"]}}},
    "list": {"type": "op:json.object", "inputs": {"value_a": {"b": [{"$ref": ["paint", "seed"]}, {"$ref": ["words", "text"]}]}}}
  },
  "layout": {"nodes": {"words": {"x": 1, "y": 2, "z": 3}, "paint": {"x": 300}}, "groups": [{"nodes": ["words", "paint"]}]}
}`) as Doc;

describe("history", () => {
  it("any edits, undone and redone, give the byte-identical document", () => {
    const edits = fc.array(anyEdit(), { minLength: 20, maxLength: 50 });
    fc.assert(
      fc.property(anyDocument(20), edits, (start, drawn) => {
        let [doc, history] = [start, recorded<Doc>(NO_HISTORY, start, "")];
        const seen = [text(start)];
        for (const one of drawn) {
          const next = one(doc)(doc);
          if (next === doc) continue;
          history = recorded(history, doc, "edit");
          doc = next;
          seen.push(text(doc));
        }
        const last = text(doc);
        for (let index = seen.length - 2; index >= 0; index -= 1) {
          const back = undone(history, doc);
          if (back === null) throw new Error("nothing to undo");
          ({ history, state: doc } = back);
          expect(text(doc)).toBe(seen[index]);
        }
        for (let way = redone(history, doc); way !== null; way = redone(history, doc)) ({ history, state: doc } = way);
        expect(text(doc)).toBe(last);
      }),
      { numRuns: 100 },
    );
  }, 30_000);

  it("an edit changes nothing in place", () => {
    fc.assert(
      fc.property(anyDocument(), anyEdit(), (doc, drawn) => {
        const before = text(doc);
        drawn(doc)(doc);
        expect(text(doc)).toBe(before);
      }),
      { numRuns: 200 },
    );
  });
});

describe("edits", () => {
  it("share what they leave alone, keep unknown fields and the order of keys", () => {
    const next = all(setInput("paint", "steps", 30), moveNodes({ words: { x: 9, y: 9 } }))(DOC);
    expect(text(next)).toBe(text(DOC).replace('"steps":20', '"steps":30').replace('"x":1,"y":2', '"x":9,"y":9'));
    expect(next.nodes?.["words"]).toBe(DOC.nodes?.["words"]);
    expect(setInput("paint", "steps", 20)(DOC)).toBe(DOC);
    expect(moveNodes({ words: { x: 1, y: 2 }, nobody: { x: 1, y: 1 } })(DOC)).toBe(DOC);
  });

  it("rename a node everywhere, and back", () => {
    const renamed = renameNode("words", "prompt")(DOC);
    expect(text(renamed)).toBe(text(DOC).replaceAll('"words"', '"prompt"'));
    expect(text(renameNode("prompt", "words")(renamed))).toBe(text(DOC));
    expect(renameNode("words", "paint")(DOC)).toBe(DOC);
    expect(renameNode("words", "Not a name")(DOC)).toBe(DOC);
  });

  it("take a node away with its links, its place, its outputs and its groups", () => {
    const next = removeNodes(["paint"])(DOC);
    expect(next.nodes?.["list"]?.inputs).toEqual({ value_a: { b: [{ $ref: ["words", "text"] }] } });
    expect(next.interface?.outputs).toBeUndefined();
    expect(next.layout).toEqual({ nodes: { words: { x: 1, y: 2, z: 3 } }, groups: [{ nodes: ["words"] }] });
  });

  it("survive nodes and keys that are called like parts of every object", () => {
    const doc = all(
      addNode({ name: "constructor", type: "op:constant" }),
      setInput("constructor", "value", JSON.parse('{"__proto__": {"$ref": ["constructor", "value"]}}') as Json),
      renameNode("constructor", "valueof"),
    )(EMPTY_DOCUMENT);
    expect(text(doc)).toContain('{"__proto__":{"$ref":["valueof","value"]}}');
    expect(setTitle("constructor", "x")(DOC)).toBe(DOC);
  });

  it("leave out what says nothing", () => {
    const doc = addNode({ name: "a", type: "op:constant" })(EMPTY_DOCUMENT);
    const there = all(setInput("a", "value", 1), setTitle("a", "A"), collapse(["a"], true), group(["a"]))(doc);
    const back = all(clearInput("a", "value"), setTitle("a", ""), collapse(["a"], false))(there);
    expect(back.nodes).toEqual(doc.nodes);
    expect(back.layout?.nodes).toEqual({ a: {} });
  });
});

describe("the interface", () => {
  it("takes a field with its value as default, and gives it back", () => {
    const exposed = exposeInput({ node: "paint", port: "steps", type: "number" })(DOC);
    expect(exposed.interface?.inputs?.[1]).toEqual({ name: "steps", type: "number", default: 20 });
    expect(exposed.nodes?.["paint"]?.inputs?.["steps"]).toEqual({ $input: "steps" });
    expect(text(unexposeInput("steps")(exposed))).toBe(text(DOC));
    expect(text(unexposeField("paint", "steps")(exposed))).toBe(text(DOC));
  });

  it("has an input that may be left out where the field may be, under a name of its own", () => {
    const twice = all(
      exposeInput({ node: "paint", port: "subject", type: "number", isRequired: false }),
      giveInterfaceInput("list", "value_seed", "subject_2"),
    )(DOC);
    expect(twice.interface?.inputs?.[1]).toEqual({ name: "subject_2", type: "number", optional: true });
    expect(unexposeField("paint", "subject")(twice).interface?.inputs).toHaveLength(2);
    const renamed = renameInput("subject_2", "seed")(twice);
    expect(renamed.nodes?.["list"]?.inputs?.["value_seed"]).toEqual({ $input: "seed" });
    expect(moveInput("seed", 0)(renamed).interface?.inputs?.map((one) => one.name)).toEqual(["seed", "subject"]);
  });

  it("offers a field the inputs that it takes", () => {
    const doc = all(
      exposeInput({ node: "paint", port: "seed", type: "number", isRequired: false }),
      exposeInput({ node: "paint", port: "photo", type: "image" }),
    )(DOC);
    const names = (type: string, isRequired = false) =>
      fittingInputs(doc, { node: "list", port: "value_b", type, isRequired }).map((one) => one.name);
    expect(names("text")).toEqual(["subject", "seed"]);
    // One that may be left out does not do where something is needed.
    expect(names("text", true)).toEqual(["subject"]);
    expect(names("list[image]")).toEqual([]);
    expect(names("any")).toEqual(["subject", "seed", "photo"]);
    expect(fittingInputs(doc, { node: "words", port: "value_what", type: "text" })).toHaveLength(1);
  });

  it("moves its outputs, and has one that is shown first", () => {
    const doc = all(
      exposeOutput({ node: "words", port: "text" }),
      moveOutput("text", 0),
      setInterfaceOutput("text", { primary: true, title: "The words" }),
    )(DOC);
    const [first, ...rest] = doc.interface?.outputs ?? [];
    expect(first).toEqual({ name: "text", from: ["words", "text"], title: "The words", primary: true });
    expect(rest.some((one) => one.primary)).toBe(false);
    expect(setInterfaceInput("subject", { title: "" })(DOC)).toBe(DOC);
  });

  it("has names of its own", () => {
    const names = ["subject", "seed"];
    expect(nameFault("seed", "subject", names)).toBe("taken");
    expect(nameFault("subject", "subject", names)).toBeNull();
    expect(nameFault("The seed", "subject", names)).toBe("wrong");
  });

  it("keeps a default that is empty, and shows the first output first", () => {
    expect(setInterfaceInput("subject", { default: "" })(DOC).interface?.inputs?.[0]?.default).toBe("");
    const doc = addNode({ name: "a", type: "op:constant" })(EMPTY_DOCUMENT);
    expect(exposeOutput({ node: "a", port: "value" })(doc).interface?.outputs).toEqual([
      { name: "value", from: ["a", "value"], primary: true },
    ]);
    expect(exposeOutput({ node: "paint", port: "image" })(DOC)).toBe(DOC);
  });
});

describe("the clipboard", () => {
  it("pastes what it copied, under fresh names", () => {
    fc.assert(
      fc.property(anyDocument(), (doc) => {
        const names = Object.keys(nodesOf(doc));
        const clip = copy(doc, names);
        if (clip === null) return;
        const read = readClip(text(clip as unknown as Doc));
        expect(read).not.toBeNull();
        const pasted = paste(doc, read ?? clip);
        const back = new Map(Object.entries(pasted.names).map(([old, fresh]) => [fresh, old]));
        expect(back.size).toBe(names.length);
        for (const [fresh, old] of back) {
          const led = JSON.parse(text(pasted.document.nodes?.[fresh] as Doc)) as Json;
          const undoneNames = mapReferences(led, (one, whole) =>
            one.kind === "node" ? { $ref: [back.get(one.node) ?? one.node, one.port] } : whole,
          );
          expect(undoneNames).toEqual(doc.nodes?.[old]);
        }
        for (const name of names) expect(pasted.document.nodes?.[name]).toBe(doc.nodes?.[name]);
      }),
      { numRuns: 100 },
    );
  });

  it("keeps links from outside where that is there, and inputs by their values elsewhere", () => {
    expect(duplicate(DOC, ["paint"]).document.nodes?.["paint_2"]?.inputs?.["prompt"]).toEqual({
      $ref: ["words", "text"],
    });
    const clip = copy(DOC, ["words", "paint"]);
    if (clip === null) throw new Error("nothing copied");
    const there = paste(EMPTY_DOCUMENT, clip, { at: { x: 100, y: 100 } });
    expect(there.document.interface?.inputs).toEqual(DOC.interface?.inputs);
    expect(placeOf(there.document, "words")).toEqual({ x: 100, y: 102, z: 3 });
    const other: Doc = { interface: { inputs: [{ name: "subject", type: "image" }] } };
    expect(paste(other, clip).document.nodes?.["words"]?.inputs?.["value_what"]).toBe("star");
    expect(paste(EMPTY_DOCUMENT, copy(DOC, ["paint"]) ?? clip).document.nodes?.["paint"]?.inputs).toEqual({
      steps: 20,
    });
  });

  it.each(["", "{}", "[1]", '{"format":"slipway/nodes","nodes":{"A b":{}},"places":{},"notes":[],"inputs":[]}'])(
    "takes %j for something else",
    (other) => {
      expect(readClip(other)).toBeNull();
    },
  );
});

describe("layout", () => {
  it("moves nothing that is not selected", () => {
    fc.assert(
      fc.property(anyDocument(), fc.nat(), (doc, number) => {
        const names = Object.keys(nodesOf(doc));
        const chosen = names.filter((_, index) => (number >> (index % 16)) % 2 === 0);
        for (const edit of [
          tidy({}, chosen),
          align({}, chosen, "top"),
          distribute({}, chosen, "vertical"),
          snap(chosen, 10),
        ])
          for (const name of names)
            if (!chosen.includes(name)) expect(placeOf(edit(doc), name)).toBe(placeOf(doc, name));
      }),
      { numRuns: 60 },
    );
  });

  it("tidies from left to right along links, without overlaps, where it was", () => {
    const tidied = placed()({ ...DOC, layout: {} });
    const [words, paint, list] = ["words", "paint", "list"].map((name) => placeOf(tidied, name)?.x ?? 0);
    expect(words).toBeLessThan((paint ?? 0) - 260);
    expect(paint).toBeLessThan((list ?? 0) - 260);
    expect(placed()(tidied)).toBe(tidied);
    const sizes = { words: { width: 100, height: 100 }, paint: { width: 100, height: 100 } };
    expect(placeOf(align(sizes, ["words", "paint"], "right")(DOC), "words")?.x).toBe(300);
    expect(placeBeside(DOC, sizes, "words", "after").x).toBe(197);
  });
});

describe("names", () => {
  it("are made of anything, and are fresh", () => {
    fc.assert(fc.property(fc.string({ unit: "grapheme" }), (any) => isName(nameFrom(any))));
    fc.assert(
      fc.property(fc.uniqueArray(fc.constantFrom("a", "a_2", "a_3", "b".repeat(40))), (taken) => {
        for (const wanted of ["a", "b".repeat(40)]) {
          const fresh = freshName(wanted, (name) => taken.includes(name));
          expect(taken).not.toContain(fresh);
          expect(isName(fresh)).toBe(true);
        }
      }),
    );
    expect([nameForType("op:text.template", ""), nameForType("workflow:cut-out@3", "")]).toEqual([
      "template",
      "cut_out",
    ]);
  });
});

describe("values", () => {
  it("are written so that they are read as they were", () => {
    const key = fc.constantFrom("a", "$ref", "$input", "$literal", "__proto__x");
    const { json } = fc.letrec<{ json: Json }>((tie) => ({
      json: fc.oneof(
        { maxDepth: 4 },
        fc.constantFrom<Json>(null, 1, "x", true),
        fc.array(tie("json"), { maxLength: 3 }),
        fc.dictionary(key, tie("json"), { maxKeys: 2 }),
      ),
    }));
    fc.assert(
      fc.property(json, (value) => {
        expect(plainOf(writtenOf(value))).toEqual(value);
        expect(partsOf(writtenOf(value))).toEqual([]);
      }),
    );
  });
});
