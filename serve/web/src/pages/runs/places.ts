/** Where a run can be gone on with: the playground of its model, or its workflow. */
import type { Run } from "@/api/types";

/** Null where there is no such place. */
export function placeOf(run: Run): string | null {
  if (run.kind === "workflow") {
    const name = run.workflow?.split("@")[0] ?? "";
    return name === "" ? null : `/w/${encodeURIComponent(name)}/runs?run=${encodeURIComponent(run.id)}`;
  }
  return run.model === null ? null : `/models/${encodeURIComponent(run.model)}?run=${encodeURIComponent(run.id)}`;
}
