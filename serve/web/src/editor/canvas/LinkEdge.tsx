/** A link: in its port's colour, dashed while what flows through it is being made use of. */
import { BaseEdge, type Edge, type EdgeProps, getBezierPath } from "@xyflow/react";
import { memo } from "react";

import { useWorkflowRun } from "@/editor/run/state";
import { portColor } from "@/ui/port-glyph";

export type LinkData = Edge<{ type: string }, "link">;

export const LinkEdge = memo(function LinkEdge(props: EdgeProps<LinkData>) {
  const { source, target, data } = props;
  const isFlowing = useWorkflowRun(({ states }) => {
    const [from, to] = [states.nodes[source]?.status, states.nodes[target]?.status];
    return to === "running" || from === "running";
  });
  const [path] = getBezierPath(props);
  return (
    <BaseEdge
      path={path}
      interactionWidth={16}
      className={isFlowing ? "link-flowing" : undefined}
      style={{ stroke: portColor(data?.type ?? "json") }}
    />
  );
});
