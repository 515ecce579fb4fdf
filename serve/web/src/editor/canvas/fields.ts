/** Pure: where in the inspector a problem's field is, as the platform names it. */

/** The places that show it, the nearest first: `inputs.prompt.0` and `prompt` are both about the input prompt,
 * `policy.retries` is a field of its own, and `map.1` is one of what the node is run over. */
export function placesOf(field: string): string[] {
  const parts = field.replace(/^inputs?\./, "").split(/[.[]/);
  const places = parts.map((_, index) => parts.slice(0, parts.length - index).join("."));
  const own = parts[0] === "task" ? ["type"] : RUNNING.has(parts[0] ?? "") ? ["running"] : [];
  return [...places, ...own].filter((place) => place !== "");
}

/** Fields that are found under "How it runs", also where one of them has no control at the moment. */
const RUNNING = new Set(["policy", "map", "maxItems", "concurrency", "when"]);
