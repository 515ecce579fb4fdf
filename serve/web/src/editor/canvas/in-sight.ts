/** Cards that nobody can see need not be painted: what is far outside of the view has its inside hidden (`data-off`). The
 * card itself stays where it is, measured, linked and reached by the Tab key, which brings it into sight. */
import { type ReactFlowState, useStoreApi } from "@xyflow/react";
import { type RefObject, useEffect } from "react";

import { seenOf } from "./minimap";

/** Pixels beyond the view's edges, so that a card that comes in is there already. */
const MARGIN = 480;
const PAUSE_MS = 100;
/** After cards were moved. One that is dragged is seen anyway. */
const STILL_MS = 400;

export function useCardsInSight(frame: RefObject<HTMLElement | null>): void {
  const store = useStoreApi();
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let dueAt = Infinity;
    const look = () => {
      dueAt = Infinity;
      if (frame.current) hideOthers(frame.current, store.getState());
    };
    const stop = store.subscribe((now, before) => {
      const isOtherView =
        now.transform !== before.transform || now.width !== before.width || now.height !== before.height;
      if (!isOtherView && now.nodes === before.nodes) return;
      const at = performance.now() + (isOtherView ? PAUSE_MS : STILL_MS);
      // A view that moves is looked at while it moves; cards, when they lie still.
      if (isOtherView ? at >= dueAt : dueAt < performance.now() + PAUSE_MS) return;
      dueAt = at;
      clearTimeout(timer);
      timer = setTimeout(look, at - performance.now());
    });
    look();
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [store, frame]);
}

function hideOthers(frame: HTMLElement, { nodeLookup, transform, width, height }: ReactFlowState): void {
  const seen = seenOf(transform, width, height);
  const margin = MARGIN / transform[2];
  for (const card of frame.querySelectorAll<HTMLElement>(".react-flow__node-card")) {
    const node = nodeLookup.get(card.getAttribute("data-id") ?? "");
    if (node === undefined) continue;
    const { x, y } = node.internals.positionAbsolute;
    const [across, down] = [node.measured.width ?? 0, node.measured.height ?? 0];
    const isSeen =
      x < seen.x + seen.width + margin &&
      y < seen.y + seen.height + margin &&
      x + across > seen.x - margin &&
      y + down > seen.y - margin;
    // Not yet measured: it must be seen for that.
    card.toggleAttribute("data-off", !isSeen && across > 0 && width > 0);
  }
}
