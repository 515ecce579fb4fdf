/** A part of the page that opens the workflow in a file that is dropped on it, as a workflow of its own. */
import { type ReactNode, useMemo, useState } from "react";

import { useSession } from "@/shell/session";
import { strings } from "@/strings";

import { ImportDialog } from "./ImportDialog";
import { useWorkflows } from "./library";
import { useFileDrop } from "./useFileDrop";

export function DropToImport({ children }: { children: ReactNode }) {
  const { may } = useSession();
  const [file, setFile] = useState<File | null>(null);
  const drop = useFileDrop(may("workflows.write"), setFile);
  return (
    <div {...drop.handlers} role="presentation" className="relative h-full">
      {children}
      {drop.isOver && <DropVeil />}
      {file && (
        <Named
          key={`${file.name}:${String(file.lastModified)}`}
          file={file}
          onClose={() => {
            setFile(null);
          }}
        />
      )}
    </div>
  );
}

/** What is said while a file is held over the page. */
export function DropVeil() {
  return (
    <div className="pointer-events-none absolute inset-2 z-20 flex items-center justify-center rounded-lg border-2 border-dashed border-accent bg-accent-soft">
      <p className="rounded-md bg-surface px-4 py-2 text-lg">{strings.workflows.dropHere}</p>
    </div>
  );
}

function Named({ file, onClose }: { file: File; onClose: () => void }) {
  const { data } = useWorkflows("");
  const taken = useMemo(() => new Set((data?.pages ?? []).flatMap((page) => page.data.map((one) => one.name))), [data]);
  // A fresh name is found once: not before it is known which are taken.
  return data && <ImportDialog file={file} taken={taken} onClose={onClose} />;
}
