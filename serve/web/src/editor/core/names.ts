/** Names for nodes, and for inputs and outputs of the workflow: `^[a-z][a-z0-9_]{0,39}$`. */

export const MAX_NAME = 40;
const NAME = /^[a-z][a-z0-9_]{0,39}$/;

export function isName(text: string): boolean {
  return NAME.test(text);
}

/** Why nothing can be called `wanted` that is called `own` now: it is no name, or another one of `names` has it. */
export function nameFault(wanted: string, own: string, names: readonly string[]): "wrong" | "taken" | null {
  if (!isName(wanted)) return "wrong";
  return wanted !== own && names.includes(wanted) ? "taken" : null;
}

/** A name made of any text: `Text to image` becomes `text_to_image`. */
export function nameFrom(text: string, fallback = "node"): string {
  const plain = text
    .normalize("NFKD")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "_")
    .replace(/^[^a-z]+/, "")
    .slice(0, MAX_NAME)
    .replace(/_+$/, "");
  return isName(plain) ? plain : fallback;
}

/** `wanted`, or `wanted_2`, `wanted_3`, ...: the first that is not taken. */
export function freshName(wanted: string, isTaken: (name: string) => boolean): string {
  if (!isTaken(wanted)) return wanted;
  const stem = wanted.replace(/_\d+$/, "");
  for (let number = 2; ; number += 1) {
    const tail = `_${String(number)}`;
    const name = stem.slice(0, MAX_NAME - tail.length) + tail;
    if (!isTaken(name)) return name;
  }
}

/** What a node of a type is called at first: by what it does, since cards show the model besides. */
export function nameForType(type: string, title: string): string {
  const [prefix = "", rest = ""] = splitOnce(type, ":");
  if (prefix === "op") return nameFrom(rest.split(".").at(-1) ?? rest);
  if (prefix === "workflow") return nameFrom(rest.split("@")[0] ?? rest);
  return prefix === "model" ? nameFrom(rest) : nameFrom(title);
}

function splitOnce(text: string, separator: string): [string, string] {
  const index = text.indexOf(separator);
  return index < 0 ? [text, ""] : [text.slice(0, index), text.slice(index + 1)];
}
