/** One picture of a run: not begun, on its way, or there. */
import { Columns2, ImageUp, Lock } from "lucide-react";

import { AssetImage } from "@/media/AssetImage";
import { assetReference } from "@/media/assets";
import type { RunOutput } from "@/playground/run-state";
import { useSession } from "@/shell/session";
import { strings } from "@/strings";
import { IconButton } from "@/ui/button";

interface PictureTileProps {
  index: number;
  output: RunOutput | undefined;
  preview: string | undefined;
  isBusy: boolean;
  /** Width by height, known before the picture is. */
  ratio: number;
  prompt: string;
  isCompared: boolean;
  onOpen: () => void;
  onCompare: () => void;
  onSeed: (seed: number) => void;
  /** Makes it the picture to start from; undefined where the form takes none. */
  onInput?: (reference: string) => void;
}

export function PictureTile(props: PictureTileProps) {
  const { index, output, preview, isBusy, ratio, prompt, onOpen } = props;
  const words = strings.playground;
  if (output === undefined && !isBusy) return null;
  return (
    <li className="flex min-w-0 flex-col gap-1">
      <div
        className="relative w-full overflow-hidden rounded-md border border-line bg-raised"
        style={{ aspectRatio: String(ratio) }}
      >
        {output ? (
          <button
            type="button"
            aria-label={words.open(index + 1)}
            onClick={onOpen}
            className="block size-full cursor-zoom-in"
          >
            <AssetImage id={output.asset.id} alt={prompt} className="size-full" />
          </button>
        ) : preview ? (
          <img src={preview} alt={words.unfinished(index + 1)} className="size-full object-contain" />
        ) : (
          <span className="absolute inset-0 flex items-center justify-center text-sm text-faint">
            {words.waitingFor(index + 1)}
          </span>
        )}
      </div>
      {output && <Caption {...props} output={output} />}
    </li>
  );
}

function Caption({ output, isCompared, onCompare, onSeed, onInput }: PictureTileProps & { output: RunOutput }) {
  const { isSignedIn } = useSession();
  const words = strings.playground;
  const { seed, asset } = output;
  return (
    <div className="flex h-7 items-center text-sm text-muted">
      <span className="mr-auto">{seed === undefined ? output.name : words.seed(seed)}</span>
      {seed !== undefined && (
        <IconButton
          label={words.useSeed}
          onClick={() => {
            onSeed(seed);
          }}
        >
          <Lock size={14} aria-hidden />
        </IconButton>
      )}
      {onInput && isSignedIn && (
        <IconButton
          label={words.asInput}
          onClick={() => {
            onInput(assetReference(asset.id));
          }}
        >
          <ImageUp size={14} aria-hidden />
        </IconButton>
      )}
      <IconButton
        label={words.compareThis}
        aria-pressed={isCompared}
        className={isCompared ? "text-accent!" : undefined}
        onClick={onCompare}
      >
        <Columns2 size={14} aria-hidden />
      </IconButton>
    </div>
  );
}
