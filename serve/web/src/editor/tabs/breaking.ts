/** Pure: which differences may break those who call the workflow today. */
import type { Json, Schemas } from "@/api/types";
import { strings } from "@/strings";

export type Difference = Schemas["DifferencesView"]["differences"][number];

const PREFIX = /^interface\.(?:inputs|outputs)\./;

/** A sentence for each of them. */
export function breaks(differences: readonly Difference[]): string[] {
  const found = differences.map(breakOf).filter((one) => one !== null);
  return [...new Set(found)];
}

function breakOf(one: Difference): string | null {
  const words = strings.versions.breaks;
  const [name = "", part] = (one.field ?? "").replace(PREFIX, "").split(".");
  switch (one.kind) {
    case "input_removed":
      return words.inputGone(name);
    case "input_added":
      return isRequired(one.after as Json) ? words.inputNeeded(name) : null;
    case "output_removed":
      return words.outputGone(name);
    case "output_changed":
      return part === "from" ? words.outputOther(name) : null;
    case "input_changed":
      return inputBreak(one, name, part);
    default:
      return null;
  }
}

function inputBreak({ after }: Difference, name: string, part: string | undefined): string | null {
  const words = strings.versions.breaks;
  if (part === "type") return words.inputType(name);
  if (part === "constraints") return words.inputNarrower(name);
  if ((part === "default" && after === null) || (part === "optional" && after === false))
    return words.inputNeeded(name);
  return null;
}

function isRequired(input: Json): boolean {
  if (input === null || typeof input !== "object" || Array.isArray(input)) return false;
  return (input["default"] ?? null) === null && input["optional"] !== true;
}

export type DifferenceGroup = "interface" | "meaning" | "words";

/** Differences by what they are about, in the order in which a reader wants them. */
export function grouped(differences: readonly Difference[]): [DifferenceGroup, Difference[]][] {
  const groups: Record<DifferenceGroup, Difference[]> = { interface: [], meaning: [], words: [] };
  for (const one of differences) groups[groupOf(one)].push(one);
  return (Object.entries(groups) as [DifferenceGroup, Difference[]][]).filter(([, some]) => some.length > 0);
}

function groupOf({ kind }: Difference): DifferenceGroup {
  if (kind === "words" || kind === "layout") return "words";
  return kind.startsWith("node_") ? "meaning" : "interface";
}
