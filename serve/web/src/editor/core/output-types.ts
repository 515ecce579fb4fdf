/** Outputs whose type depends on what the node is given: the operations that have `output_types` on the server. */
import type { Json } from "@/api/types";
import type { NodeType } from "@/editor/node-types";

import { JSON_TYPE, parseType, type PortType, typeOf } from "./port-types";
import { type Given, kindOf } from "./unifying";

/** Pictures that a mask goes through and stays a mask. */
const KEEPING_MASKS = new Set(["image.resize", "image.crop", "image.blur", "image.rotate", "image.flip"]);

/** The types by output, as far as they are told by values; empty for most operations. */
export function outputTypesByValue(
  type: NodeType,
  given: ReadonlyMap<string, Given>,
): Readonly<Record<string, PortType>> {
  const operation = type.type.startsWith("op:") ? type.type.slice(3) : "";
  if (operation === "constant") return { value: constantType(type, given) };
  if (operation === "json.path") return { value: saidType(type, given) ?? JSON_TYPE };
  if (KEEPING_MASKS.has(operation) && given.get("image")?.type?.kind === "mask") return { image: typeOf("mask") };
  return {};
}

function constantType(type: NodeType, given: ReadonlyMap<string, Given>): PortType {
  const said = saidType(type, given);
  if (said !== null) return said;
  const one = given.get("value");
  return one?.isWritten ? typeOfValue(one.value ?? null) : JSON_TYPE;
}

/** What the input `type` says, if it is one of those that it may say. */
function saidType(type: NodeType, given: ReadonlyMap<string, Given>): PortType | null {
  const port = type.inputs.find((one) => one.name === "type");
  const one = given.get("type");
  const said = one === undefined ? port?.default : one.isWritten ? one.value : undefined;
  const choices = port?.schema?.enum;
  return typeof said === "string" && (choices === undefined || choices.includes(said)) ? parseType(said) : null;
}

function typeOfValue(value: Json): PortType {
  if (!Array.isArray(value) || value.length === 0) return typeOf(kindOf(value));
  const kinds = new Set(value.map(kindOf));
  return kinds.size === 1 ? typeOf(kindOf(value[0] as Json), true) : JSON_TYPE;
}
