/** The values of a form: where they begin, and what of them is sent. */
import type { Json } from "@/api/types";

import { ADAPTERS, type FormField, type Values } from "./fields";

/** What each field holds at first: its default, and nothing (null) where it has none. */
export function defaultsOf(fields: FormField[]): Values {
  return Object.fromEntries(fields.map(({ name, schema }) => [name, schema.default ?? null]));
}

/** What a call is given: without what is empty, since the API then takes the default or draws it. */
export function givenOf(fields: FormField[], values: Values): Values {
  const given: Values = {};
  for (const { name } of fields) {
    const value = values[name];
    if (name !== ADAPTERS && value !== null && value !== undefined) given[name] = value;
  }
  return given;
}

/** The same without what is the default anyway: what a person has to read. */
export function changedOf(fields: FormField[], values: Values): Values {
  const given = givenOf(fields, values);
  const isDefault = ({ name, schema }: FormField) => isSame(given[name], schema.default);
  return Object.fromEntries(
    Object.entries(given).filter(([name]) => !fields.some((field) => field.name === name && isDefault(field))),
  );
}

export interface AdapterChoice {
  name: string;
  scale?: number;
}

/** The adapters that the form's field of that name holds. */
export function adaptersOf(values: Values): AdapterChoice[] {
  const chosen = values[ADAPTERS];
  return Array.isArray(chosen) ? (chosen as unknown as AdapterChoice[]).filter((one) => one.name !== "") : [];
}

export function isSame(one: Json | undefined, other: Json | undefined): boolean {
  return one === other || JSON.stringify(one) === JSON.stringify(other);
}
