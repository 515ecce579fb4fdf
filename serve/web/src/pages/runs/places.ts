/** Where a run can be gone on with: the playground of its model with the same parameters, or its workflow. */
import type { Json, Run } from "@/api/types";
import { fragmentWith } from "@/playground/sharing";
import { ADAPTERS } from "@/schema-form/fields";

/** Null where there is no such place. */
export function placeOf(run: Run): string | null {
  if (run.kind === "workflow") {
    const name = run.workflow?.split("@")[0] ?? "";
    return name === "" ? null : `/w/${encodeURIComponent(name)}/runs?run=${encodeURIComponent(run.id)}`;
  }
  if (run.model === null || run.task === null) return null;
  const values = { ...run.input } as Record<string, Json>;
  if (run.adapters.length > 0) values[ADAPTERS] = run.adapters.map(({ id, scale }) => ({ name: id, scale }));
  const place = `/models/${encodeURIComponent(run.model)}?task=${run.task}&run=${encodeURIComponent(run.id)}`;
  return place + fragmentWith(run.task, values);
}
