/** Pure: names for workflows. */

const NAME = /^[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?$/;

export function isName(text: string): boolean {
  return NAME.test(text);
}

/** What a title, or the name of a file, is as a name: "My castle (2).png" is `my-castle-2`. */
export function nameOf(text: string, otherwise = "workflow"): string {
  const plain = text
    .replace(/\.(png|jpe?g|webp|json|ya?ml)$/i, "")
    .normalize("NFKD")
    .replace(/\p{M}/gu, "")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^[^a-z]+/, "")
    .slice(0, 36)
    .replace(/-+$/, "");
  return plain === "" ? otherwise : plain;
}

/** `name`, or the first of `name-2`, `name-3`, ... that is not in `taken`. */
export function freshName(name: string, taken: ReadonlySet<string>): string {
  if (!taken.has(name)) return name;
  for (let number = 2; ; number += 1) {
    const next = `${name.slice(0, 36)}-${String(number)}`;
    if (!taken.has(next)) return next;
  }
}
