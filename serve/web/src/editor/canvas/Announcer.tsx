/** Reads out what an edit did. Two regions take turns, so that the same words twice are read twice. */
import { useCanvasView } from "./view";

export function Announcer() {
  const { text, turn } = useCanvasView((view) => view.said);
  return (
    <>
      <p aria-live="polite" className="sr-only">
        {turn % 2 === 0 ? text : ""}
      </p>
      <p aria-live="polite" className="sr-only">
        {turn % 2 === 1 ? text : ""}
      </p>
    </>
  );
}
