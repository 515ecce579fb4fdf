/** /w: one's workflows, templates to begin with, and files that are dropped to become workflows. */
import { Upload } from "lucide-react";
import { type RefObject, useDeferredValue, useMemo, useRef, useState } from "react";
import { Link } from "wouter";

import { useSession } from "@/shell/session";
import { Waiting } from "@/shell/Waiting";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { TextField } from "@/ui/fields";
import { EmptyState } from "@/ui/states";

import { CreateDialog } from "./CreateDialog";
import { DropVeil } from "./DropToImport";
import { ImportDialog } from "./ImportDialog";
import { BLANK, useWorkflows } from "./library";
import { type Beginning, Templates } from "./Templates";
import { useFileDrop } from "./useFileDrop";
import { WorkflowList } from "./WorkflowList";

const words = strings.workflows;
const ACCEPTED = ".png,.jpg,.jpeg,.webp,.json,.yaml,.yml";

export default function WorkflowsPage() {
  const { isLoading, isSignedIn, may } = useSession();
  if (isLoading) return <Waiting />;
  if (!isSignedIn)
    return (
      <>
        <h1 className="sr-only">{words.title}</h1>
        <EmptyState
          title={words.signedOut.title}
          text={words.signedOut.text}
          action={
            <Button asChild kind="primary">
              <Link href="/signin?return_to=/w">{strings.shell.signIn}</Link>
            </Button>
          }
        />
      </>
    );
  return <Library mayWrite={may("workflows.write")} />;
}

function Library({ mayWrite }: { mayWrite: boolean }) {
  const [text, setText] = useState("");
  const shownText = useDeferredValue(text.trim());
  const [beginning, begin] = useState<Beginning | null>(null);
  const [file, setFile] = useState<File | null>(null);
  const { data } = useWorkflows("");
  const taken = useMemo(() => new Set((data?.pages ?? []).flatMap((page) => page.data.map((one) => one.name))), [data]);
  const drop = useFileDrop(mayWrite, setFile);
  const chooser = useRef<HTMLInputElement>(null);
  return (
    <div {...drop.handlers} className="relative min-h-full">
      <div className="mx-auto flex w-full max-w-[1200px] flex-col gap-6 px-4 py-5 sm:px-6">
        <header className="flex flex-wrap items-center justify-between gap-3">
          <h1 className="text-xl font-bold">{words.title}</h1>
          {mayWrite ? (
            <Acts
              chooser={chooser}
              onFile={setFile}
              onNew={() => {
                begin({ name: "workflow", title: "", document: BLANK });
              }}
            />
          ) : (
            <p className="text-muted">{words.noPermission}</p>
          )}
        </header>
        <section className="flex flex-col gap-3" aria-labelledby="yours">
          <div className="flex flex-wrap items-end justify-between gap-3">
            <h2 id="yours" className="text-lg font-semibold">
              {words.yours}
            </h2>
            <div className="w-full sm:w-64">
              <TextField
                type="search"
                label={words.search}
                isLabelHidden
                placeholder={words.search}
                value={text}
                onChange={(event) => {
                  setText(event.target.value);
                }}
              />
            </div>
          </div>
          <WorkflowList text={shownText} mayWrite={mayWrite} />
        </section>
        {mayWrite && (
          <section className="flex flex-col gap-3" aria-labelledby="templates">
            <div>
              <h2 id="templates" className="text-lg font-semibold">
                {words.templates}
              </h2>
              <p className="text-muted">{words.templatesText}</p>
            </div>
            <Templates onChoose={begin} />
            <p className="text-sm text-faint">{words.importHint}</p>
          </section>
        )}
      </div>
      {drop.isOver && <DropVeil />}
      {beginning && (
        <CreateDialog
          beginning={beginning}
          heading={beginning.title || words.createTitle}
          taken={taken}
          onClose={() => {
            begin(null);
          }}
        />
      )}
      {file && (
        <ImportDialog
          key={`${file.name}:${String(file.lastModified)}`}
          file={file}
          taken={taken}
          onClose={() => {
            setFile(null);
          }}
          onChooseAnother={() => {
            setFile(null);
            chooser.current?.click();
          }}
        />
      )}
    </div>
  );
}

interface ActsProps {
  chooser: RefObject<HTMLInputElement | null>;
  onFile: (file: File) => void;
  onNew: () => void;
}

function Acts({ chooser, onFile, onNew }: ActsProps) {
  return (
    <div className="flex gap-2">
      <input
        ref={chooser}
        type="file"
        accept={ACCEPTED}
        className="hidden"
        aria-label={words.chooseFile}
        onChange={(event) => {
          const file = event.target.files?.[0];
          // Emptied, so that the same file can be chosen again.
          event.target.value = "";
          if (file) onFile(file);
        }}
      />
      <Button onClick={() => chooser.current?.click()}>
        <Upload size={14} aria-hidden />
        {words.import}
      </Button>
      <Button kind="primary" onClick={onNew}>
        {words.new}
      </Button>
    </div>
  );
}
