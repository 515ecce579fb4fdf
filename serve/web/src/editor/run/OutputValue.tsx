/** A value that came out: pictures to look at and save, sound and film to play, words, or data as JSON. */
import { Download } from "lucide-react";
import { useState } from "react";

import type { Json } from "@/api/types";
import { assetUrl } from "@/media/assets";
import { AssetImage } from "@/media/AssetImage";
import { ImageViewer } from "@/media/ImageViewer";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { classes } from "@/ui/classes";
import { CodeBlock } from "@/ui/code";
import { bytes } from "@/ui/quantities";

import { type AssetValue, assetsOf, documentOf, isPicture } from "./output-values";

interface OutputValueProps {
  /** What it is called: also what the files are saved as. */
  name: string;
  value: Json;
}

export function OutputValue({ name, value }: OutputValueProps) {
  const assets = assetsOf(value);
  const large = documentOf(value);
  if (large !== null) return <FileLink asset={large} name={name} />;
  if (assets.length > 0 && assets.every(isPicture)) return <Pictures assets={assets} name={name} />;
  if (assets.length > 0) return assets.map((asset) => <OtherFile key={asset.id} asset={asset} name={name} />);
  if (value === null) return <p className="text-faint">{strings.workflowRun.nothingCame}</p>;
  if (typeof value === "string") return <p className="whitespace-pre-wrap">{value}</p>;
  if (typeof value === "number" || typeof value === "boolean") return <p className="font-mono">{String(value)}</p>;
  return <CodeBlock code={JSON.stringify(value, null, 2)} label={name} />;
}

function Pictures({ assets, name }: { assets: AssetValue[]; name: string }) {
  const [index, setIndex] = useState<number | null>(null);
  const alt = (place: number) => (assets.length === 1 ? name : `${name} ${String(place + 1)}`);
  const viewed = assets.map((asset, place) => ({
    src: assetUrl(asset.id),
    alt: alt(place),
    fileName: asset.name ?? `${name}.png`,
    caption: asset.width && asset.height ? strings.forms.pixels(asset.width, asset.height) : undefined,
  }));
  return (
    <>
      <div className={classes("grid gap-2", assets.length > 1 && "grid-cols-2 md:grid-cols-3")}>
        {assets.map((asset, place) => (
          <button
            key={asset.id}
            type="button"
            className="overflow-hidden rounded-md border border-line bg-bg hover:border-faint"
            onClick={() => {
              setIndex(place);
            }}
          >
            <AssetImage id={asset.id} alt={alt(place)} width={asset.width} height={asset.height} className="max-h-96" />
          </button>
        ))}
      </div>
      <ImageViewer pictures={viewed} index={index} onIndex={setIndex} />
    </>
  );
}

function OtherFile({ asset, name }: { asset: AssetValue; name: string }) {
  const src = assetUrl(asset.id);
  /* eslint-disable jsx-a11y/media-has-caption -- what a model made has no captions; its words stand beside it. */
  if (asset.mediaType.startsWith("audio/")) return <audio controls src={src} aria-label={name} className="w-full" />;
  if (asset.mediaType.startsWith("video/")) return <video controls src={src} aria-label={name} className="w-full" />;
  /* eslint-enable jsx-a11y/media-has-caption */
  return <FileLink asset={asset} name={name} />;
}

function FileLink({ asset, name }: { asset: AssetValue; name: string }) {
  return (
    <Button asChild>
      <a href={assetUrl(asset.id)} download={asset.name ?? name}>
        <Download size={14} aria-hidden />
        {strings.workflowRun.saveFile(bytes(asset.numBytes))}
      </a>
    </Button>
  );
}
