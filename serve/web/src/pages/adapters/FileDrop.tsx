/** A place to drop files on, which is also a button to choose them. */
import { Upload, X } from "lucide-react";
import { type DragEvent, useId, useState } from "react";

import { strings } from "@/strings";
import { IconButton } from "@/ui/button";
import { classes } from "@/ui/classes";
import { bytes } from "@/ui/quantities";

const WORDS = strings.adapters.form;

interface FileDropProps {
  files: File[];
  onChange: (files: File[]) => void;
  error: string | null;
}

export function FileDrop({ files, onChange, error }: FileDropProps) {
  const id = useId();
  const [isOver, setOver] = useState(false);
  const take = (taken: FileList | null) => {
    const added = [...(taken ?? [])];
    const names = new Set(added.map(({ name }) => name));
    onChange([...files.filter(({ name }) => !names.has(name)), ...added]);
  };
  const drag = (isInside: boolean) => (event: DragEvent) => {
    event.preventDefault();
    setOver(isInside);
  };
  return (
    <div className="flex flex-col gap-2">
      <label
        htmlFor={id}
        onDragOver={drag(true)}
        onDragLeave={drag(false)}
        onDrop={(event) => {
          drag(false)(event);
          take(event.dataTransfer.files);
        }}
        className={classes(
          "flex cursor-pointer flex-col items-center gap-1 rounded-md border border-dashed px-4 py-6 text-center focus-within:outline-2 focus-within:outline-focus",
          isOver ? "border-accent bg-accent-soft" : error ? "border-bad" : "border-line-strong hover:border-faint",
        )}
      >
        <Upload size={18} aria-hidden className="text-muted" />
        <span>{WORDS.drop}</span>
        <span className="text-sm text-muted underline">{WORDS.choose}</span>
        <input
          id={id}
          type="file"
          multiple
          accept=".safetensors,.zip,.json"
          className="sr-only"
          aria-describedby={error ? `${id}-told` : undefined}
          aria-invalid={error ? true : undefined}
          onChange={({ target }) => {
            take(target.files);
            target.value = "";
          }}
        />
      </label>
      {error && (
        <p id={`${id}-told`} role="alert" className="text-sm text-bad">
          {error}
        </p>
      )}
      <ul className="flex flex-col">
        {files.map((file) => (
          <li key={file.name} className="flex items-center gap-2 border-b border-line">
            <span className="min-w-0 flex-1 truncate">{file.name}</span>
            <span className="text-sm text-muted">{bytes(file.size)}</span>
            <IconButton
              label={WORDS.remove(file.name)}
              onClick={() => {
                onChange(files.filter((one) => one !== file));
              }}
            >
              <X size={14} aria-hidden />
            </IconButton>
          </li>
        ))}
      </ul>
    </div>
  );
}
