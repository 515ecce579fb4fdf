/** Edits of the interface: fields that become inputs of the workflow, ports that become its outputs. */
import type { Json, Schemas } from "@/api/types";

import { freshName, isName, nameFrom } from "./names";
import { changedReferences, setInput } from "./nodes";
import { fits, parseType } from "./port-types";
import { filterItems, mapItems, mapValues, patched, withItemMoved, withKey, withPart } from "./records";
import { type Doc, type Edit, type InterfaceInput, type InterfaceOutput, inputsOf, nodesOf, outputsOf } from "./types";
import { type Source, valueAt } from "./types";
import { inputRef, isWritten, plainOf, referenceOf, writtenOf } from "./values";

type Interface = Schemas["Interface"];

/** A field of a node that becomes an input: its type as documents write it, and what a form says of it. */
export interface ExposedField {
  node: string;
  port: string;
  type: string;
  title?: string;
  description?: string;
  isRequired?: boolean;
}

/** The input of the workflow that an input of a node is, as a whole; null where it is something else. */
function exposedInput(doc: Doc, node: string, port: string): string | null {
  const reference = referenceOf(valueAt(doc, node, port));
  return reference?.kind === "input" ? reference.name : null;
}

/** The outputs of the workflow that an output of a node is. */
function exposedOutputs(doc: Doc, { node, port }: Source): InterfaceOutput[] {
  return outputsOf(doc).filter(({ from }) => from[0] === node && from[1] === port);
}

function freshInputName(doc: Doc, wanted: string): string {
  return freshName(nameFrom(wanted, "input"), (name) => inputsOf(doc).some((one) => one.name === name));
}

function freshOutputName(doc: Doc, wanted: string): string {
  return freshName(nameFrom(wanted, "output"), (name) => outputsOf(doc).some((one) => one.name === name));
}

/** Makes a field an input of the workflow. What was written in it becomes the default. */
export function exposeInput(field: ExposedField): Edit {
  return (doc) => {
    const { node, port } = field;
    if (exposedInput(doc, node, port) !== null || nodesOf(doc)[node] === undefined) return doc;
    const free = freshInputName(doc, port);
    const added = withInputs(doc, (inputs) => [...inputs, newInput(doc, field, free)]);
    return setInput(node, port, inputRef(free))(added);
  };
}

function newInput(doc: Doc, { node, port, type, title, description, isRequired }: ExposedField, name: string) {
  const value = valueAt(doc, node, port);
  const held = value !== undefined && isWritten(value) ? { default: plainOf(value) } : {};
  const words = { ...(title ? { title: title.slice(0, 120) } : {}), ...(description ? { description } : {}) };
  // A field that may be left out makes an input that may be left out: the seed, say.
  const optional = "default" in held || isRequired !== false ? {} : { optional: true };
  return { name, type, ...words, ...held, ...optional } satisfies InterfaceInput;
}

/** The inputs of the workflow that a field of this type may be given. */
export function fittingInputs(doc: Doc, { node, port, type, isRequired }: ExposedField): InterfaceInput[] {
  const [own, wanted] = [exposedInput(doc, node, port), parseType(type)];
  return inputsOf(doc).filter((one) => {
    const given = parseType(one.type);
    const isThere = !isRequired || !one.optional || (one.default ?? null) !== null;
    return one.name !== own && isThere && given !== null && (wanted === null || fits(given, wanted));
  });
}

/** Gives a field an input of the workflow that there is already. */
export function giveInterfaceInput(node: string, port: string, name: string): Edit {
  return (doc) => (inputsOf(doc).some((one) => one.name === name) ? setInput(node, port, inputRef(name))(doc) : doc);
}

/** Takes an input of the workflow away: wherever it went, its default is written down. */
export function unexposeInput(name: string): Edit {
  return (doc) => {
    const input = inputsOf(doc).find((one) => one.name === name);
    if (input === undefined) return doc;
    const held = (input.default ?? null) as Json;
    const value = held === null ? undefined : writtenOf(held);
    const nodes = mapValues(nodesOf(doc), (node) =>
      changedReferences(node, (one, whole) => (one.kind === "input" && one.name === name ? value : whole)),
    );
    const rest = nodes === nodesOf(doc) ? doc : { ...doc, nodes };
    return withInputs(rest, (inputs) => filterItems(inputs, (one) => one !== input));
  };
}

/** Makes one field hold a value of its own again; the input goes if nothing else uses it. */
export function unexposeField(node: string, port: string): Edit {
  return (doc) => {
    const name = exposedInput(doc, node, port);
    if (name === null) return doc;
    const held = (inputsOf(doc).find((one) => one.name === name)?.default ?? null) as Json;
    const freed = setInput(node, port, held === null ? null : writtenOf(held))(doc);
    const isUsed = Object.values(nodesOf(freed)).some((one) => usesInput(one, name));
    return isUsed ? freed : withInputs(freed, (inputs) => filterItems(inputs, (one) => one.name !== name));
  };
}

function usesInput(node: Schemas["NodeSpec"], name: string): boolean {
  let isUsed = false;
  changedReferences(node, (one, whole) => {
    isUsed ||= one.kind === "input" && one.name === name;
    return whole;
  });
  return isUsed;
}

/** Makes a port an output of the workflow; the first is what is shown where there is room for one. */
export function exposeOutput({ node, port }: Source): Edit {
  return (doc) => {
    if (exposedOutputs(doc, { node, port }).length > 0 || nodesOf(doc)[node] === undefined) return doc;
    const free = freshOutputName(doc, port);
    const primary = outputsOf(doc).length === 0 ? { primary: true } : {};
    return withOutputs(doc, (outputs) => [...outputs, { name: free, from: [node, port], ...primary }]);
  };
}

export function unexposeOutput(name: string): Edit {
  return (doc) => withOutputs(doc, (outputs) => filterItems(outputs, (one) => one.name !== name));
}

export function addInterfaceInput(input: InterfaceInput): Edit {
  return (doc) =>
    inputsOf(doc).some((one) => one.name === input.name) ? doc : withInputs(doc, (inputs) => [...inputs, input]);
}

/** Changes words, bounds and the widget of an input; its name is changed by `renameInput`. */
export function setInterfaceInput(name: string, patch: Partial<Omit<InterfaceInput, "name">>): Edit {
  return (doc) =>
    withInputs(doc, (inputs) =>
      mapItems(inputs, (one) => {
        if (one.name !== name) return one;
        const { default: held, ...rest } = patch;
        const next = patched<InterfaceInput>(one, rest);
        // A default may well be empty: an empty text, an empty list.
        return "default" in patch ? withKey(next, "default", held ?? undefined) : next;
      }),
    );
}

/** Changes words of an output; making it the primary one takes that from the others. */
export function setInterfaceOutput(name: string, patch: Partial<Omit<InterfaceOutput, "name">>): Edit {
  const { primary, ...rest } = patch;
  const flag = "primary" in patch ? { primary: primary || undefined } : {};
  return (doc) =>
    withOutputs(doc, (outputs) =>
      mapItems(outputs, (one) => {
        if (one.name === name) return patched<InterfaceOutput>(one, { ...rest, ...flag });
        return primary ? patched<InterfaceOutput>(one, { primary: undefined }) : one;
      }),
    );
}

export function renameInput(from: string, to: string): Edit {
  return (doc) => {
    const names = inputsOf(doc).map((one) => one.name);
    if (!isName(to) || names.includes(to) || !names.includes(from)) return doc;
    const nodes = mapValues(nodesOf(doc), (node) =>
      changedReferences(node, (one, whole) => (one.kind === "input" && one.name === from ? inputRef(to) : whole)),
    );
    const used = nodes === nodesOf(doc) ? doc : { ...doc, nodes };
    return withInputs(used, (inputs) => mapItems(inputs, (one) => (one.name === from ? { ...one, name: to } : one)));
  };
}

export function renameOutput(from: string, to: string): Edit {
  return (doc) => {
    if (!isName(to) || outputsOf(doc).some((one) => one.name === to)) return doc;
    return withOutputs(doc, (all) => mapItems(all, (one) => (one.name === from ? { ...one, name: to } : one)));
  };
}

/** Moves an input to another place in the form. */
export function moveInput(name: string, index: number): Edit {
  return (doc) =>
    withInputs(doc, (all) =>
      withItemMoved(
        all,
        all.findIndex((one) => one.name === name),
        index,
      ),
    );
}

export function moveOutput(name: string, index: number): Edit {
  return (doc) =>
    withOutputs(doc, (all) =>
      withItemMoved(
        all,
        all.findIndex((one) => one.name === name),
        index,
      ),
    );
}

function withInputs(doc: Doc, change: (inputs: readonly InterfaceInput[]) => readonly InterfaceInput[]): Doc {
  return withInterface(doc, (part) => withPart(part, "inputs", (inputs) => keptNothing(inputs, change)));
}

function withOutputs(doc: Doc, change: (outputs: readonly InterfaceOutput[]) => readonly InterfaceOutput[]): Doc {
  return withInterface(doc, (part) => withPart(part, "outputs", (outputs) => keptNothing(outputs, change)));
}

function withInterface(doc: Doc, change: (part: Interface) => Interface): Doc {
  return withPart(doc, "interface", (part) => {
    const next = change(part ?? {});
    return part === undefined && Object.keys(next).length === 0 ? undefined : next;
  });
}

function keptNothing<T>(items: readonly T[] | undefined, change: (items: readonly T[]) => readonly T[]) {
  const next = change(items ?? []);
  return next.length === 0 && items === undefined ? undefined : next;
}
