/** The link that is being drawn: in its port's colour; over a port that refuses it, broken, with the reason beside the pointer. */
import { type ConnectionLineComponentProps, getBezierPath, type Handle } from "@xyflow/react";

import { portColor } from "@/ui/port-glyph";

import { typeOfPort } from "./graph";
import { joiningOf } from "./joins";
import type { PortAt } from "./view";

export function JoiningLine(props: ConnectionLineComponentProps) {
  const { fromX, fromY, toX, toY, fromPosition, toPosition, fromHandle, toHandle } = props;
  const [path] = getBezierPath({
    sourceX: fromX,
    sourceY: fromY,
    sourcePosition: fromPosition,
    targetX: toX,
    targetY: toY,
    targetPosition: toPosition,
  });
  const from = portAt(fromHandle);
  const joining = toHandle ? joiningOf(from, portAt(toHandle)) : null;
  const refusal = joining?.ok === false ? joining.reason : null;
  return (
    <g>
      <path
        d={path}
        fill="none"
        className="react-flow__connection-path"
        style={{ stroke: refusal === null ? portColor(typeOfPort(from)) : "var(--bad)" }}
        strokeDasharray={refusal === null ? undefined : "2 4"}
      />
      {refusal !== null && (
        <foreignObject x={toX + 12} y={toY + 12} width={280} height={96}>
          <p className="w-fit rounded-sm border border-bad bg-raised px-2 py-1 text-sm text-fg">{refusal}</p>
        </foreignObject>
      )}
    </g>
  );
}

export function portAt({ nodeId, id, type }: Pick<Handle, "nodeId" | "id" | "type">): PortAt {
  return { node: nodeId, port: id ?? "", side: type === "source" ? "output" : "input" };
}
