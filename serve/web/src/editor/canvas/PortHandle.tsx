/** Where links begin and end: the port's mark at the card's edge. Dim while a link is drawn that does not fit it. */
import { Handle, Position } from "@xyflow/react";
import { memo, type MouseEvent } from "react";

import { linksInto } from "@/editor/core/links";
import { strings } from "@/strings";
import { portColor, PortGlyph } from "@/ui/port-glyph";

import { keyOf, useJoinable } from "./joinable";
import { currentDoc } from "./opened";

const words = strings.editor.canvas.port;

interface PortHandleProps {
  node: string;
  port: string;
  title: string;
  type: string;
  side: "input" | "output";
  /** Of a collapsed card: links still end here, but nothing is drawn. */
  isHidden?: boolean;
  className?: string;
}

export const PortHandle = memo(function PortHandle({
  node,
  port,
  title,
  type,
  side,
  isHidden,
  className,
}: PortHandleProps) {
  const fits = useJoinable((store) => store.fitting?.has(keyOf({ node, port, side })) ?? null);
  return (
    <Handle
      id={port}
      type={side === "input" ? "target" : "source"}
      position={side === "input" ? Position.Left : Position.Right}
      className={className}
      data-fits={fits === null ? undefined : fits ? "yes" : "no"}
      data-hidden={isHidden || undefined}
      title={words[side](title, type)}
      style={{ color: portColor(type) }}
      onMouseDownCapture={(event) => {
        if (side === "input" && event.button === 0) pickUpLink(event, node, port);
      }}
    >
      {!isHidden && <PortGlyph type={type} />}
    </Handle>
  );
});

/**
 * Drawn from an input that is linked, it is the link's own end that comes along: to another port, or to nowhere, which
 * cuts it. The diagram has a grip for that, which lies beside the port; the hand on the port is put on it.
 */
function pickUpLink(event: MouseEvent<HTMLElement>, node: string, port: string): void {
  const link = linksInto(currentDoc(), node).findLast(({ target }) => target.port === port);
  const edge = link && event.currentTarget.closest(".flow")?.querySelector(`[data-id="${CSS.escape(link.id)}"]`);
  const grip = edge?.querySelector(".react-flow__edgeupdater-target");
  if (!grip) return;
  event.stopPropagation();
  event.preventDefault();
  const { clientX, clientY } = event;
  grip.dispatchEvent(new window.MouseEvent("mousedown", { bubbles: true, cancelable: true, clientX, clientY }));
}
