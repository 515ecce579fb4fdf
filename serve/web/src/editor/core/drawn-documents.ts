/** For tests: documents and edits by chance, made only with what the editor itself can do. */
import fc from "fast-check";

import type { Json } from "@/api/types";
import type { NodeType } from "@/editor/node-types";

import { copy, paste } from "./clipboard";
import { connect, disconnect } from "./connecting";
import { exposeInput, exposeOutput, renameInput, unexposeInput, unexposeOutput } from "./exposing";
import joins from "./joins.json";
import { align, distribute, snap, tidy } from "./layout";
import { linksOf } from "./links";
import { addNode, clearInput, newNode, removeNodes, renameNode, setInput, setMap, setPolicy } from "./nodes";
import { addNote, collapse, group, moveNodes, removeNotes, setNote, setTitle, ungroup } from "./placing";
import { portsOf } from "./ports";
import { typeText } from "./port-types";
import { type Doc, type Edit, EMPTY_DOCUMENT, inputsOf, nodesOf, outputsOf, type Source, type Target } from "./types";

export const TYPES = joins.nodeTypes as unknown as NodeType[];

/** An edit that depends on the document that it meets: numbers choose among what is there. */
export type Drawn = (doc: Doc) => Edit;

const nat = fc.nat(10_000);

function pick<T>(items: readonly T[], number: number): T | undefined {
  return items[number % Math.max(1, items.length)];
}

function nameAt(doc: Doc, number: number): string {
  return pick(Object.keys(nodesOf(doc)), number) ?? "nobody";
}

function adding([type, x, y]: number[]): Drawn {
  const nodeType = pick(TYPES, type ?? 0) as NodeType;
  return (doc) => addNode(newNode(doc, nodeType, TYPES, { x: (x ?? 0) % 900, y: (y ?? 0) % 700 }));
}

/** An output and an input that are there; null where the nodes have none. */
export function endsAt(doc: Doc, [from, output, to, input]: readonly number[]): [Source, Target] | null {
  const ports = portsOf(doc, TYPES);
  const [source, target] = [nameAt(doc, from ?? 0), nameAt(doc, to ?? 0)];
  const out = pick(ports.get(source)?.outputs ?? [], output ?? 0);
  const into = pick(ports.get(target)?.inputs ?? [], input ?? 0);
  return out && into
    ? [
        { node: source, port: out.name },
        { node: target, port: into.name },
      ]
    : null;
}

function joining(chosen: number[]): Drawn {
  return (doc) => {
    const ends = endsAt(doc, chosen);
    return ends === null ? (same) => same : connect(TYPES, ...ends);
  };
}

const VALUES: Json[] = ["a", 1, true, ["a", "b"], { $literal: { $ref: 1 } }, { a: { b: null } }, "", 0, [], null];

function giving([node, port, value]: number[]): Drawn {
  return (doc) => {
    const name = nameAt(doc, node ?? 0);
    const input = pick(portsOf(doc, TYPES).get(name)?.inputs ?? [], port ?? 0);
    return input ? setInput(name, input.name, pick(VALUES, value ?? 0) as Json) : (same) => same;
  };
}

function exposing([node, port]: number[]): Drawn {
  return (doc) => {
    const name = nameAt(doc, node ?? 0);
    const ports = portsOf(doc, TYPES).get(name);
    const input = pick(ports?.inputs ?? [], port ?? 0);
    if (!input?.type) return (same) => same;
    return exposeInput({ node: name, port: input.name, type: typeText(input.type), isRequired: input.isRequired });
  };
}

function pasting([one, two]: number[]): Drawn {
  return (doc) => {
    const clip = copy(doc, [nameAt(doc, one ?? 0), nameAt(doc, two ?? 0)], [0]);
    return (same) => (clip ? paste(same, clip).document : same);
  };
}

function outputting([node, port]: number[]): Drawn {
  return (doc) => {
    const name = nameAt(doc, node ?? 0);
    const output = pick(portsOf(doc, TYPES).get(name)?.outputs ?? [], port ?? 0);
    return output ? exposeOutput({ node: name, port: output.name }) : (same) => same;
  };
}

type Make = (numbers: number[]) => Drawn;

const COMMON: Make[] = [adding, adding, joining, joining, joining, giving, exposing, outputting];

const OTHERS: Make[] = [
  ([a = 0]) =>
    (doc) =>
      removeNodes([nameAt(doc, a)]),
  ([a = 0]) =>
    (doc) =>
      disconnect(
        linksOf(doc)
          .filter((_, index) => index % 3 === a % 3)
          .map((link) => link.id),
      ),
  ([a = 0, b = 0]) =>
    (doc) =>
      renameNode(nameAt(doc, a), `name_${String(b)}`),
  ([a = 0, b = 0]) =>
    (doc) =>
      clearInput(nameAt(doc, a), pick(["prompt", "value_1", "image"], b) ?? ""),
  ([a = 0, b = 0]) =>
    (doc) =>
      moveNodes({ [nameAt(doc, a)]: { x: b, y: -b }, "note:0": { x: b, y: 1 } }),
  ([a = 0, b = 0]) =>
    (doc) =>
      setMap(nameAt(doc, a), "prompt", b % 2 === 0),
  ([a = 0, b = 0]) =>
    (doc) =>
      setPolicy(nameAt(doc, a), b % 3 ? { retries: b % 6 } : { retries: undefined }),
  ([a = 0, b = 0]) =>
    (doc) =>
      setTitle(nameAt(doc, a), b % 2 ? "title" : ""),
  ([a = 0, b = 0]) =>
    (doc) =>
      collapse([nameAt(doc, a)], b % 2 === 0),
  ([a = 0, b = 0]) =>
    (doc) =>
      group([nameAt(doc, a), nameAt(doc, b)], "together"),
  ([a = 0]) =>
    () =>
      ungroup([a % 2]),
  ([a = 0]) =>
    () =>
      addNote({ text: `note ${String(a)}`, x: a }),
  ([a = 0]) =>
    () =>
      setNote(0, { text: String(a), width: a }),
  ([a = 0]) =>
    () =>
      removeNotes([a % 3]),
  ([a = 0]) =>
    (doc) =>
      unexposeInput(pick(inputsOf(doc), a)?.name ?? ""),
  ([a = 0]) =>
    (doc) =>
      unexposeOutput(pick(outputsOf(doc), a)?.name ?? ""),
  ([a = 0, b = 0]) =>
    (doc) =>
      renameInput(pick(inputsOf(doc), a)?.name ?? "", `input_${String(b)}`),
  pasting,
  () => () => tidy({}),
  ([a = 0, b = 0]) =>
    (doc) =>
      align({}, [nameAt(doc, a), nameAt(doc, b)], "left"),
  () => (doc) => distribute({}, Object.keys(nodesOf(doc)), "horizontal"),
  () => (doc) => snap(Object.keys(nodesOf(doc)), 16),
];

export const numbers = fc.array(nat, { minLength: 4, maxLength: 4 });

export function anyEdit(makes: readonly Make[] = [...COMMON, ...COMMON, ...OTHERS]): fc.Arbitrary<Drawn> {
  return fc.tuple(fc.nat(makes.length - 1), numbers).map(([index, chosen]) => (makes[index] as Make)(chosen));
}

export function anyDocument(maxEdits = 40): fc.Arbitrary<Doc> {
  return fc
    .array(anyEdit(), { minLength: 4, maxLength: maxEdits })
    .map((edits) => edits.reduce((doc, drawn) => drawn(doc)(doc), EMPTY_DOCUMENT));
}

/** Only nodes and links: nothing in it is wrong but what is missing. */
export function anyGraph(): fc.Arbitrary<Doc> {
  return fc
    .array(anyEdit([adding, joining, joining, joining, outputting]), { minLength: 10, maxLength: 60 })
    .map((edits) => edits.reduce((doc, drawn) => drawn(doc)(doc), EMPTY_DOCUMENT));
}
