/** Where links begin and end: the port's mark at the card's edge. Dim while a link is drawn that does not fit it. */
import { Handle, Position } from "@xyflow/react";
import { memo } from "react";

import { strings } from "@/strings";
import { portColor, PortGlyph } from "@/ui/port-glyph";

import { keyOf, useJoinable } from "./joinable";

const words = strings.editor.canvas.port;

interface PortHandleProps {
  node: string;
  port: string;
  title: string;
  type: string;
  side: "input" | "output";
  /** Of a collapsed card: links still end here, but nothing is drawn. */
  isHidden?: boolean;
}

export const PortHandle = memo(function PortHandle({ node, port, title, type, side, isHidden }: PortHandleProps) {
  const fits = useJoinable((store) => store.fitting?.has(keyOf({ node, port, side })) ?? null);
  return (
    <Handle
      id={port}
      type={side === "input" ? "target" : "source"}
      position={side === "input" ? Position.Left : Position.Right}
      data-fits={fits === null ? undefined : fits ? "yes" : "no"}
      data-hidden={isHidden || undefined}
      title={words[side](title, type)}
      style={{ color: portColor(type) }}
    >
      {!isHidden && <PortGlyph type={type} />}
    </Handle>
  );
});
