/** What changed between two states of a workflow, in the API's sentences, and what of it may break callers. */
import { strings } from "@/strings";
import type { Schemas } from "@/api/types";

import { breaks, grouped } from "./breaking";

interface DifferencesProps {
  found: Schemas["DifferencesView"];
  focusField?: (node: string, field: string | null) => void;
}

export function Differences({ found, focusField }: DifferencesProps) {
  const words = strings.versions;
  const broken = breaks(found.differences);
  if (found.differences.length === 0) return <p className="text-muted">{words.same}</p>;
  return (
    <div className="flex flex-col gap-4">
      {broken.length > 0 && (
        <div className="rounded-md border border-warn p-3">
          <h3 className="font-semibold text-warn">▲ {words.breaking}</h3>
          <ul className="mt-1 flex flex-col gap-0.5">
            {broken.map((one) => (
              <li key={one}>{one}</li>
            ))}
          </ul>
        </div>
      )}
      {found.is_same && <p className="text-muted">{words.sameMeaning}</p>}
      {grouped(found.differences).map(([group, some]) => (
        <section key={group}>
          <h3 className="mb-1 text-sm text-muted">{words.groups[group]}</h3>
          <ul className="flex flex-col gap-1">
            {some.map((one, index) => (
              <li key={index} className="flex gap-2">
                <span aria-hidden className="w-3 shrink-0 text-center font-mono text-muted">
                  {markOf(one.kind)}
                </span>
                {one.node !== null && focusField && !one.kind.endsWith("removed") ? (
                  <button
                    type="button"
                    className="min-w-0 text-left hover:underline"
                    onClick={() => {
                      focusField(one.node ?? "", one.field);
                    }}
                  >
                    {one.message}
                  </button>
                ) : (
                  <span className="min-w-0">{one.message}</span>
                )}
              </li>
            ))}
          </ul>
        </section>
      ))}
    </div>
  );
}

function markOf(kind: string): string {
  if (kind.endsWith("added")) return "+";
  return kind.endsWith("removed") ? "−" : "~";
}
