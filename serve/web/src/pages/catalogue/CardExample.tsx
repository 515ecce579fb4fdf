/** What came out of a model, as its card tells it: pictures as a small board, words as they were asked and answered. */
import type { Card } from "@/api/types";
import { strings } from "@/strings";
import { classes } from "@/ui/classes";
import { PortGlyph } from "@/ui/port-glyph";

import { type Example, shownExample, shownPictures } from "./examples";

const FRAME = "h-44 shrink-0 overflow-hidden border-b border-line bg-bg";

export function CardExample({ card }: { card: Card }) {
  const pictures = shownPictures(card);
  if (pictures.length > 0) return <Board pictures={pictures} />;
  const example = shownExample(card);
  if (example === null || (example.text === null && example.asked === "")) return <Nothing card={card} />;
  return <Words example={example} />;
}

/** One large picture, and beside it up to four more. */
function Board({ pictures }: { pictures: { source: string; asked: string }[] }) {
  const [first, ...rest] = pictures;
  if (first === undefined) return null;
  return (
    <div className={classes(FRAME, "flex gap-px")}>
      <img src={first.source} alt={first.asked} className="h-full min-w-0 flex-1 object-cover" />
      {rest.length > 0 && (
        <div className={classes("grid h-full min-w-0 flex-1 gap-px", rest.length > 1 && "grid-cols-2 grid-rows-2")}>
          {rest.map(({ source, asked }, index) => (
            <img key={index} src={source} alt={asked} className="h-full min-h-0 w-full object-cover" />
          ))}
        </div>
      )}
    </div>
  );
}

function Words({ example }: { example: Example }) {
  return (
    <div className={classes(FRAME, "flex flex-col justify-center gap-2 px-5")}>
      <p className="line-clamp-3 max-w-[85%] self-start rounded-md border border-line bg-surface px-3 py-1.5 whitespace-pre-line text-muted">
        {example.asked}
      </p>
      {example.text !== null && (
        <p className="line-clamp-3 max-w-[85%] self-end rounded-md bg-raised px-3 py-1.5 whitespace-pre-line">
          {example.text}
        </p>
      )}
    </div>
  );
}

function Nothing({ card }: { card: Card }) {
  return (
    <div className={classes(FRAME, "flex flex-col items-center justify-center gap-2 text-sm text-faint")}>
      <PortGlyph type={card.modalities.output[0] ?? "json"} size={20} />
      {strings.catalogue.noExample}
    </div>
  );
}
