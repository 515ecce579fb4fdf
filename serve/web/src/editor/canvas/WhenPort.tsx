/** Where a node's condition is joined: a mark at the left of its title, seen when it is wanted; and its words below. */
import { WHEN } from "@/editor/core/types";
import { strings } from "@/strings";

import { givenOf } from "./card-rows";
import { titleOfNode, titleOfPort, useNode } from "./graph";
import { PortHandle } from "./PortHandle";

const words = strings.editor.canvas;

function useCondition(name: string) {
  const node = useNode(name);
  return givenOf((node?.when ?? undefined) as never);
}

export function WhenPort({ name }: { name: string }) {
  const isGiven = useCondition(name).by !== "nothing";
  return (
    <PortHandle
      node={name}
      port={WHEN}
      title={words.when}
      type="boolean"
      side="input"
      className={isGiven ? "when is-given" : "when"}
    />
  );
}

/** "only when Test: Result"; nothing of a node that always runs. */
export function WhenLine({ name }: { name: string }) {
  const given = useCondition(name);
  if (given.by === "nothing") return null;
  const from =
    given.by === "link"
      ? `${titleOfNode(given.node)}: ${titleOfPort(given.node, given.port, "output")}`
      : given.by === "input"
        ? given.name
        : words.when;
  return (
    <p className="line truncate px-2.5 pb-1 text-sm text-muted" title={words.onlyWhen(from)}>
      <span>{words.onlyWhen(from)}</span>
    </p>
  );
}
