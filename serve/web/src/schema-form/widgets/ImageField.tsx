/** A picture (or a sound, a film): dropped, pasted, chosen, or by its address. */
import { ImagePlus, X } from "lucide-react";
import { type DragEvent, useEffect, useId, useRef, useState } from "react";

import { Picture } from "@/media/AssetImage";
import { sourceOf } from "@/media/assets";
import { strings } from "@/strings";
import { Button, IconButton } from "@/ui/button";
import { classes } from "@/ui/classes";
import { CONTROL } from "@/ui/fields";
import { Progress } from "@/ui/progress";
import { useKeptFocus } from "@/ui/useKeptFocus";

import { hintOf, type WidgetProps } from "./props";
import { type Taking, useTaking } from "./useTaking";

export function ImageField(props: WidgetProps) {
  const { field, value, onChange, error, context } = props;
  const id = useId();
  const taking = useTaking(onChange);
  const kept = useKeptFocus<HTMLDivElement>(value);
  const told = error ?? taking.fault ?? hintOf(props);
  const isFault = Boolean(error ?? taking.fault);
  const reference = typeof value === "string" && value !== "" ? value : null;
  return (
    <div
      {...kept}
      role="group"
      tabIndex={-1}
      aria-labelledby={id}
      data-faulty={isFault || undefined}
      className="flex flex-col gap-1"
    >
      <span id={id} className="text-sm text-muted">
        {field.title}
      </span>
      {reference === null ? (
        <DropZone
          kind={field.widget === "audio" || field.widget === "video" ? field.widget : "image"}
          disabled={context.disabled}
          taking={taking}
          onAddress={onChange}
        />
      ) : (
        <Chosen
          title={field.title}
          reference={reference}
          disabled={context.disabled}
          onRemove={() => {
            onChange(null);
          }}
        />
      )}
      {told && <p className={isFault ? "text-sm text-bad" : "text-sm text-faint"}>{told}</p>}
    </div>
  );
}

interface DropZoneProps {
  kind: string;
  disabled: boolean;
  taking: Taking;
  onAddress: (address: string) => void;
}

function DropZone({ kind, disabled, taking, onAddress }: DropZoneProps) {
  const [isOver, setOver] = useState(false);
  const chooser = useRef<HTMLInputElement>(null);
  const words = strings.forms;
  usePastedFile(disabled, (file) => void taking.take(file, kind));
  const drop = (event: DragEvent) => {
    event.preventDefault();
    event.stopPropagation();
    setOver(false);
    const file = event.dataTransfer.files[0];
    if (file && !disabled) void taking.take(file, kind);
  };
  if (taking.fraction !== null) {
    const told = words.uploading(Math.round(taking.fraction * 100));
    return (
      <div className="flex flex-col gap-1.5 rounded-sm border border-line-strong p-3 text-sm text-muted">
        <p aria-live="polite">{told}</p>
        <Progress label={told} fraction={taking.fraction} />
        <Button className="self-start" onClick={taking.stop}>
          {strings.shell.cancel}
        </Button>
      </div>
    );
  }
  return (
    // Files land here; the button inside does the same for the keyboard.
    <div
      role="presentation"
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => {
        setOver(false);
      }}
      onDrop={drop}
      className={classes(
        "flex flex-col items-center gap-2 rounded-sm border border-dashed p-3 text-center text-sm text-muted",
        isOver ? "border-accent bg-accent-soft" : "border-line-strong",
      )}
    >
      <span>{words.dropImage}</span>
      <Button disabled={disabled} onClick={() => chooser.current?.click()}>
        <ImagePlus size={14} aria-hidden />
        {words.chooseImage}
      </Button>
      <input
        ref={chooser}
        type="file"
        hidden
        accept={kind === "image" ? "image/png,image/jpeg,image/webp" : `${kind}/*`}
        onChange={(event) => {
          const file = event.target.files?.[0];
          event.target.value = "";
          if (file) void taking.take(file, kind);
        }}
      />
      <AddressLine disabled={disabled} onAddress={onAddress} />
    </div>
  );
}

function AddressLine({ disabled, onAddress }: { disabled: boolean; onAddress: (address: string) => void }) {
  const [address, setAddress] = useState("");
  const words = strings.forms;
  return (
    <div className="flex w-full gap-1">
      <input
        type="text"
        aria-label={words.imageAddress}
        placeholder={words.imageAddressHint}
        value={address}
        disabled={disabled}
        onChange={(event) => {
          setAddress(event.target.value);
        }}
        onKeyDown={(event) => {
          if (event.key === "Enter" && !event.ctrlKey && address.trim() !== "") onAddress(address.trim());
        }}
        className={classes(CONTROL, "h-7 min-w-0 flex-1")}
      />
      <Button
        disabled={disabled || address.trim() === ""}
        onClick={() => {
          onAddress(address.trim());
        }}
      >
        {words.useAddress}
      </Button>
    </div>
  );
}

interface ChosenProps {
  title: string;
  reference: string;
  disabled: boolean;
  onRemove: () => void;
}

function Chosen({ title, reference, disabled, onRemove }: ChosenProps) {
  const source = sourceOf(reference);
  const words = strings.forms;
  return (
    <div className="relative rounded-sm border border-line bg-bg p-1">
      {source === null ? (
        <p className="p-2 pr-9 font-mono text-xs">
          {reference}
          <span className="block font-sans text-sm text-faint">{words.fromAddress}</span>
        </p>
      ) : (
        <Picture key={source} src={source} alt={words.pictureOf(title)} className="h-40" />
      )}
      <IconButton
        kind="secondary"
        label={words.removeImage}
        disabled={disabled}
        onClick={onRemove}
        className="absolute top-1 right-1"
      >
        <X size={14} aria-hidden />
      </IconButton>
    </div>
  );
}

/** A picture pasted anywhere on the page goes to the first empty field that takes one. */
function usePastedFile(isOff: boolean, take: (file: File) => void): void {
  const taker = useRef(take);
  useEffect(() => {
    taker.current = take;
  });
  useEffect(() => {
    if (isOff) return;
    const paste = (event: ClipboardEvent) => {
      const file = [...(event.clipboardData?.files ?? [])].find((one) => one.type.startsWith("image/"));
      if (file === undefined || event.defaultPrevented) return;
      event.preventDefault();
      taker.current(file);
    };
    document.addEventListener("paste", paste);
    return () => {
      document.removeEventListener("paste", paste);
    };
  }, [isOff]);
}
