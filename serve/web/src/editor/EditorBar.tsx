/** The bar of the editor: its tabs, the workflow's name, how saving goes, and publishing. */
import { Pencil } from "lucide-react";
import { type FormEvent, useState } from "react";
import { Link } from "wouter";

import { strings } from "@/strings";
import { Button, IconButton } from "@/ui/button";
import { classes } from "@/ui/classes";
import { Dialog } from "@/ui/dialog";
import { TextArea, TextField } from "@/ui/fields";

import { setWords } from "./core/placing";
import { useEditor } from "./EditorStore";
import type { CanvasDraft } from "./run/draft";
import { PublishButton } from "./tabs/PublishDialog";
import { useWorkflow } from "./tabs/useVersions";
import type { SaveStatus } from "./store";

const words = strings.editor.canvas.page;
const TABS = ["canvas", "app", "api", "versions", "runs"] as const;

export type TabName = (typeof TABS)[number];

export function isTab(text: string | undefined): text is TabName {
  return TABS.some((one) => one === text);
}

function addressOf(workflow: string, tab: TabName): string {
  return `/w/${encodeURIComponent(workflow)}/${tab}`;
}

export function EditorBar({ workflow, tab, draft }: { workflow: string; tab: TabName; draft: CanvasDraft }) {
  return (
    <div className="flex min-h-[38px] shrink-0 flex-wrap items-center gap-x-4 border-b border-line bg-surface px-4">
      <nav aria-label={words.tabs.label} className="flex self-stretch">
        {TABS.map((one) => (
          <Link
            key={one}
            href={addressOf(workflow, one)}
            aria-current={one === tab ? "page" : undefined}
            className="mr-4 flex h-[38px] items-center border-b-2 border-transparent text-muted hover:text-fg aria-[current]:border-accent aria-[current]:font-medium aria-[current]:text-fg"
          >
            {words.tabs[one]}
          </Link>
        ))}
      </nav>
      <div className="ml-auto flex min-w-0 items-center gap-2 max-md:w-full max-md:pb-1">
        <Name workflow={workflow} isHeading={tab !== "app"} />
        <SavedWords workflow={workflow} />
        <div className="ml-auto shrink-0">
          <PublishButton draft={draft} kind="secondary" />
        </div>
      </div>
    </div>
  );
}

function Name({ workflow, isHeading }: { workflow: string; isHeading: boolean }) {
  const title = useEditor((store) => store.document.title);
  const isReadOnly = useEditor((store) => store.isReadOnly);
  const [isOpen, setOpen] = useState(false);
  const Heading = isHeading ? "h1" : "p";
  return (
    <div className="flex min-w-0 items-center">
      <Heading className="truncate font-medium" title={workflow}>
        {title || workflow}
      </Heading>
      {!isReadOnly && (
        <IconButton
          label={words.rename}
          onClick={() => {
            setOpen(true);
          }}
        >
          <Pencil size={13} aria-hidden />
        </IconButton>
      )}
      <RenameDialog
        open={isOpen}
        onClose={() => {
          setOpen(false);
        }}
      />
    </div>
  );
}

function RenameDialog({ open, onClose }: { open: boolean; onClose: () => void }) {
  const { title, description, tags } = useEditor((store) => store.document);
  const apply = useEditor((store) => store.apply);
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const told = new FormData(event.currentTarget);
    const text = (name: string) => String(told.get(name) ?? "").trim();
    const list = text("tags")
      .split(",")
      .map((one) => one.trim())
      .filter((one) => one !== "");
    apply(setWords({ title: text("title"), description: text("description"), tags: list }), { label: words.rename });
    onClose();
  };
  return (
    <Dialog open={open} onClose={onClose} title={words.renameTitle}>
      <form className="flex flex-col gap-3" onSubmit={submit}>
        <TextField label={words.fields.title} name="title" defaultValue={title} maxLength={120} autoFocus />
        <TextArea label={words.fields.description} name="description" defaultValue={description} maxLength={4000} />
        <TextField label={words.fields.tags} hint={words.fields.tagsHint} name="tags" defaultValue={tags?.join(", ")} />
        <Button kind="primary" type="submit" className="self-end">
          {words.fields.done}
        </Button>
      </form>
    </Dialog>
  );
}

const TONES: Partial<Record<SaveStatus, string>> = { offline: "text-warn", conflict: "text-bad", error: "text-bad" };

/** "draft, saved · live is v3". */
function SavedWords({ workflow }: { workflow: string }) {
  const status = useEditor((store) => store.status);
  const known = useEditor((store) => store.draft.latest);
  // Asked anew once something is published here; the store looks every few seconds.
  const latest = useWorkflow(workflow).data?.latest ?? known;
  const live = latest === null ? words.notLive : words.live(latest);
  return (
    <p role="status" className={classes("truncate text-sm max-lg:hidden", TONES[status] ?? "text-muted")}>
      {`${words.status[status]} · ${live}`}
    </p>
  );
}
