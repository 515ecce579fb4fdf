/** A link: in its port's colour, dashed while what flows through it is being made use of; broken where it is wrong. */
import { BaseEdge, type Edge, type EdgeProps, getBezierPath } from "@xyflow/react";
import { memo } from "react";

import { useWorkflowRun } from "@/editor/run/state";
import { strings } from "@/strings";
import { classes } from "@/ui/classes";
import { portColor } from "@/ui/port-glyph";

export type LinkData = Edge<{ type: string; wrong: string | null }, "link">;

export const LinkEdge = memo(function LinkEdge(props: EdgeProps<LinkData>) {
  const { source, target, data } = props;
  const isFlowing = useWorkflowRun(({ states }) => {
    const [from, to] = [states.nodes[source]?.status, states.nodes[target]?.status];
    return to === "running" || from === "running";
  });
  const [path] = getBezierPath(props);
  const wrong = data?.wrong ?? null;
  return (
    <>
      {wrong !== null && <title>{strings.editor.canvas.wrongLink(wrong)}</title>}
      <BaseEdge
        path={path}
        interactionWidth={16}
        className={classes(isFlowing && "link-flowing", wrong !== null && "link-wrong")}
        style={{ stroke: wrong === null ? portColor(data?.type ?? "json") : "var(--bad)" }}
      />
    </>
  );
});
