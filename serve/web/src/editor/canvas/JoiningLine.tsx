/** The link that is being drawn: in its port's colour; over an input that refuses it, broken, with the reason beside the pointer. */
import { type ConnectionLineComponentProps, getBezierPath } from "@xyflow/react";

import { portColor } from "@/ui/port-glyph";

import { joinOfEnds, refusalOf } from "./joins";
import { typeOfHandle } from "./graph";

export function JoiningLine(props: ConnectionLineComponentProps) {
  const { fromX, fromY, toX, toY, fromPosition, toPosition, fromHandle, toHandle, toNode, fromNode } = props;
  const [path] = getBezierPath({
    sourceX: fromX,
    sourceY: fromY,
    sourcePosition: fromPosition,
    targetX: toX,
    targetY: toY,
    targetPosition: toPosition,
  });
  const join = toHandle && toNode ? joinOfEnds(fromNode.id, fromHandle, toNode.id, toHandle) : null;
  const refusal = join ? refusalOf(join) : null;
  const type = typeOfHandle({ node: fromNode.id, port: fromHandle.id ?? "", side: sideOf(fromHandle.type) });
  return (
    <g>
      <path
        d={path}
        className="react-flow__connection-path"
        style={{ stroke: refusal === null ? portColor(type) : "var(--bad)" }}
        strokeDasharray={refusal === null ? undefined : "2 4"}
      />
      {refusal !== null && (
        <foreignObject x={toX + 12} y={toY + 12} width={260} height={80}>
          <p className="w-fit rounded-sm border border-bad bg-raised px-2 py-1 text-sm text-fg">{refusal}</p>
        </foreignObject>
      )}
    </g>
  );
}

function sideOf(type: "source" | "target"): "input" | "output" {
  return type === "source" ? "output" : "input";
}
