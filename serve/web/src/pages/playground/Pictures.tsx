/** What a run makes, as it comes: pictures on their way, finished ones side by side, two of them compared. */
import { useState } from "react";

import type { Card, Task } from "@/api/types";
import { assetUrl } from "@/media/assets";
import { ImageCompare } from "@/media/ImageCompare";
import { ImageViewer, type ViewedPicture } from "@/media/ImageViewer";
import type { RunOutput } from "@/playground/run-state";
import type { Playground } from "@/playground/usePlayground";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { EmptyState } from "@/ui/states";

import { ExampleButtons } from "./ExampleButtons";
import { PictureTile } from "./PictureTile";
import { ResultBar } from "./ResultBar";
import { RunNews } from "./RunNews";
import { useAsInput } from "./useAsInput";

interface PicturesProps {
  card: Card;
  task: Task;
  playground: Playground;
}

export function Pictures({ card, task, playground }: PicturesProps) {
  const { run } = playground;
  const asInput = useAsInput(card, playground);
  const [opened, setOpened] = useState<number | null>(null);
  const [compared, setCompared] = useState<ViewedPicture[]>([]);
  const words = strings.playground;
  const input = (run.run?.input ?? {}) as Record<string, unknown>;
  const prompt = typeof input["prompt"] === "string" ? input["prompt"] : "";
  const shown = run.outputs.map((output) => viewed(output, prompt));
  const num = Math.max(typeof input["num_images"] === "number" ? input["num_images"] : 1, run.outputs.length);
  const toggle = (picture: ViewedPicture) => {
    const isChosen = compared.some((one) => one.src === picture.src);
    setCompared(isChosen ? compared.filter((one) => one.src !== picture.src) : [...compared, picture].slice(-2));
  };
  const [left, right] = compared;
  return (
    <section aria-label={words.tabs.playground} className="flex min-h-0 flex-1 flex-col gap-3 p-4 lg:p-5">
      <ResultBar
        card={card}
        task={task}
        playground={playground}
        canCompare={shown.length === 2 && compared.length === 0}
        onCompare={() => {
          setCompared(shown);
        }}
      />
      <RunNews card={card} run={run} />
      {compared.length > 0 && (
        <p className="flex items-center gap-3 text-sm text-muted">
          {left && right ? words.compared(left.caption ?? "", right.caption ?? "") : words.comparePick}
          <Button
            kind="quiet"
            onClick={() => {
              setCompared([]);
            }}
          >
            {words.compareEnd}
          </Button>
        </p>
      )}
      {run.state === "idle" && (
        <EmptyState
          title={words.empty}
          text={words.emptyText}
          action={<ExampleButtons card={card} task={task} playground={playground} />}
        />
      )}
      {left && right ? (
        <div className="mx-auto w-full max-w-[72dvh]">
          <ImageCompare before={left} after={right} />
        </div>
      ) : (
        run.state !== "idle" && (
          <ul className={`mx-auto grid w-full gap-4 ${columnsFor(num)}`}>
            {Array.from({ length: num }, (_, index) => {
              const output = run.outputs.find((one) => one.index === index);
              const picture = output && viewed(output, prompt);
              return (
                <PictureTile
                  key={index}
                  index={index}
                  output={output}
                  preview={run.previews[index]}
                  isBusy={run.isBusy}
                  ratio={ratioOf(input, output)}
                  prompt={prompt}
                  isCompared={compared.some((one) => one.src === picture?.src)}
                  onOpen={() => {
                    setOpened(run.outputs.findIndex((one) => one.index === index));
                  }}
                  onCompare={() => {
                    if (picture) toggle(picture);
                  }}
                  onSeed={(seed) => {
                    playground.set("seed", seed);
                  }}
                  onInput={asInput}
                />
              );
            })}
          </ul>
        )
      )}
      <ImageViewer pictures={shown} index={opened} onIndex={setOpened} />
    </section>
  );
}

function viewed({ asset, name, seed }: RunOutput, prompt: string): ViewedPicture {
  const told = [
    asset.width && asset.height ? strings.forms.pixels(asset.width, asset.height) : "",
    seed === undefined ? "" : strings.playground.seed(seed),
  ];
  return { src: assetUrl(asset.id), alt: prompt, fileName: name, caption: told.filter(Boolean).join(", ") };
}

/** One picture has all the room there is; several share it. */
function columnsFor(num: number): string {
  if (num === 1) return "max-w-[min(100%,68dvh)] grid-cols-1";
  if (num <= 4) return "max-w-[136dvh] grid-cols-2";
  return "grid-cols-2 xl:grid-cols-4";
}

function ratioOf(input: Record<string, unknown>, output: RunOutput | undefined): number {
  const { width, height } = output?.asset ?? {};
  if (width && height) return width / height;
  const [across, down] = [input["width"], input["height"]];
  return typeof across === "number" && typeof down === "number" ? across / down : 1;
}
