/** Names a new workflow, saves it as a draft and opens it. */
import { useQueryClient } from "@tanstack/react-query";
import { type FormEvent, type ReactNode, useEffect, useRef, useState } from "react";
import { useLocation } from "wouter";

import { asApiError } from "@/api/errors";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { Dialog } from "@/ui/dialog";
import { TextField } from "@/ui/fields";

import { createWorkflow } from "./library";
import type { Beginning } from "./Templates";
import { freshName, isName } from "./workflow-names";

interface CreateDialogProps {
  beginning: Beginning;
  heading: string;
  /** Names that are taken, as far as they are known. */
  taken: ReadonlySet<string>;
  onClose: () => void;
  children?: ReactNode;
}

export function CreateDialog({ beginning, heading, taken, onClose, children }: CreateDialogProps) {
  const words = strings.workflows;
  const [name, setName] = useState(() => freshName(beginning.name, taken));
  const [fault, setFault] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);
  const form = useRef<HTMLFormElement>(null);
  useEffect(() => {
    // Once it is open: a dialog gives the focus to its first button, and the name is what one changes.
    form.current?.querySelector("input")?.select();
  }, []);
  const [, go] = useLocation();
  const queries = useQueryClient();
  const create = async (event: FormEvent) => {
    event.preventDefault();
    if (!isName(name)) {
      setFault(words.nameBad);
      return;
    }
    setBusy(true);
    try {
      await createWorkflow(name, beginning.document);
      await queries.invalidateQueries({ queryKey: ["workflows"] });
      go(`/w/${name}`);
    } catch (thrown) {
      const error = asApiError(thrown);
      setFault(error.status === 409 || error.status === 412 ? words.nameTaken : error.message);
      setBusy(false);
    }
  };
  return (
    <Dialog open onClose={onClose} title={heading}>
      <form ref={form} className="flex flex-col gap-4" onSubmit={(event) => void create(event)}>
        {beginning.note && <p className="text-warn">▲ {beginning.note}</p>}
        {children}
        <TextField
          label={words.name}
          hint={words.nameHint}
          error={fault}
          value={name}
          maxLength={40}
          autoComplete="off"
          spellCheck={false}
          onChange={(event) => {
            setFault(null);
            setName(event.target.value);
          }}
        />
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>{strings.shell.cancel}</Button>
          <Button kind="primary" type="submit" disabled={isBusy}>
            {words.create}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
