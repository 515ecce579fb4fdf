/** Checks of values before they are sent: the schema's own limits, in words beside the field. The API checks again. */
import type { InputSchema, Json } from "@/api/types";
import { strings } from "@/strings";

import { type FormField, mayBeNull, plainOf, typeOf, type Values } from "./fields";

/** What is wrong, by field; empty where everything is right. */
export function checkValues(fields: FormField[], values: Values): Record<string, string> {
  const errors: Record<string, string> = {};
  for (const field of fields) {
    const error = checkValue(field, values[field.name] ?? null);
    if (error !== null) errors[field.name] = error;
  }
  return errors;
}

export function checkValue(field: FormField, value: Json): string | null {
  if (value === null) return field.required && !mayBeNull(field.schema) ? strings.forms.required : null;
  // An empty text is no text where one has to be given; elsewhere it is a value like any other.
  if (value === "" && field.required) return strings.forms.required;
  return faultOf(field.schema, value);
}

function faultOf(schema: InputSchema, value: Json): string | null {
  const plain = plainOf(schema);
  const words = strings.forms;
  if (plain.enum && !plain.enum.includes(value)) return words.oneOf(plain.enum.map(String));
  const type = typeOf(plain);
  if (type === "integer" || type === "number") return numberFault(plain, type, value);
  if (type === "string") return textFault(plain, value);
  if (type === "boolean") return typeof value === "boolean" ? null : words.yesOrNo;
  if (type === "array") return listFault(plain, value);
  return null;
}

function numberFault(schema: InputSchema, type: string, value: Json): string | null {
  const words = strings.forms;
  if (typeof value !== "number" || !Number.isFinite(value)) return words.aNumber;
  if (type === "integer" && !Number.isInteger(value)) return words.whole;
  // Beyond this neither the page nor JSON as browsers read it tells one number from the next.
  if (type === "integer" && Math.abs(value) > Number.MAX_SAFE_INTEGER) return words.atMost(Number.MAX_SAFE_INTEGER);
  if (schema.minimum !== undefined && value < schema.minimum) return words.atLeast(schema.minimum);
  if (schema.maximum !== undefined && value > schema.maximum) return words.atMost(schema.maximum);
  if (schema.exclusiveMinimum !== undefined && value <= schema.exclusiveMinimum)
    return words.above(schema.exclusiveMinimum);
  if (schema.exclusiveMaximum !== undefined && value >= schema.exclusiveMaximum)
    return words.below(schema.exclusiveMaximum);
  if (schema.multipleOf !== undefined && !isMultiple(value, schema.multipleOf))
    return words.multipleOf(schema.multipleOf);
  return null;
}

/** Decimal steps are no binary fractions: 0.3 is three times 0.1 all the same. */
function isMultiple(value: number, step: number): boolean {
  const times = value / step;
  return Math.abs(times - Math.round(times)) < 1e-9 * Math.max(1, Math.abs(times));
}

function textFault(schema: InputSchema, value: Json): string | null {
  const words = strings.forms;
  if (typeof value !== "string") return words.aText;
  const length = [...value].length;
  if (schema.minLength !== undefined && length < schema.minLength)
    return schema.minLength === 1 ? words.required : words.longer(schema.minLength);
  if (schema.maxLength !== undefined && length > schema.maxLength) return words.shorter(schema.maxLength, length);
  return null;
}

function listFault(schema: InputSchema, value: Json): string | null {
  const words = strings.forms;
  if (!Array.isArray(value)) return words.aList;
  if (schema.minItems !== undefined && value.length < schema.minItems) return words.moreItems(schema.minItems);
  if (schema.maxItems !== undefined && value.length > schema.maxItems) return words.fewerItems(schema.maxItems);
  const items = schema.items;
  if (items === undefined) return null;
  for (const [index, one] of value.entries()) {
    const fault = faultOf(items, one);
    if (fault !== null) return words.inItem(index + 1, fault);
  }
  return null;
}
