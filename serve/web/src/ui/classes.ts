/** Joins class names, leaving out what does not hold: `classes("a", isB && "b")`. */
export function classes(...names: (string | false | null | undefined)[]): string {
  return names.filter(Boolean).join(" ");
}
