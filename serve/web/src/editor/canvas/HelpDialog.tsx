/** Every key of the canvas, from the table that they are read from. */
import { strings } from "@/strings";
import { Dialog } from "@/ui/dialog";
import { Kbd } from "@/ui/words";

import { type Act, ACTS } from "./acts";
import { useCanvasView } from "./view";

const words = strings.editor.canvas;

export function HelpDialog() {
  const isOpen = useCanvasView((view) => view.isHelpOpen);
  const rows = Object.values<Act>(ACTS).filter((one) => one.keys !== undefined);
  return (
    <Dialog
      open={isOpen}
      title={words.helpTitle}
      className="max-w-2xl"
      onClose={() => {
        useCanvasView.getState().set({ isHelpOpen: false });
      }}
    >
      <dl className="grid gap-x-8 gap-y-1 sm:grid-cols-2">
        <Row label={words.helpKeys.run} keys={[words.helpKeys.runKeys]} />
        {rows.map(({ label, keys }) => (
          <Row
            key={label}
            label={label}
            keys={(keys ?? "").split(" ").map((one) => one.replaceAll(/(?<=.)\+/g, " "))}
          />
        ))}
        <Row label={words.acts.addNode} keys={[words.helpKeys.doubleClick]} />
        <Row label={words.helpKeys.addJoined} keys={[words.helpKeys.dropLink]} />
        <Row label={words.acts.duplicate} keys={[words.helpKeys.altDrag]} />
        <Row label={words.helpKeys.onlyWhen} keys={[words.helpKeys.onlyWhenKeys]} />
        <Row label={words.helpKeys.searchEverything} keys={[words.helpKeys.searchButton]} />
        <Row label={words.helpKeys.moveSelected} keys={[words.helpKeys.arrows]} />
        <Row label={words.helpKeys.selectArea} keys={[words.helpKeys.marquee]} />
      </dl>
    </Dialog>
  );
}

function Row({ label, keys }: { label: string; keys: string[] }) {
  return (
    <div className="flex items-center justify-between gap-2 py-0.5">
      <dt className="min-w-0 truncate">{label}</dt>
      <dd className="flex shrink-0 gap-1">
        {keys.map((one) => (
          <Kbd key={one}>{one}</Kbd>
        ))}
      </dd>
    </div>
  );
}
