/** What people say of an adapter: no part of its versions. */
import { useMutation } from "@tanstack/react-query";
import { useId, useState } from "react";

import { asApiError } from "@/api/errors";
import type { Adapter } from "@/api/types";
import { Refusal } from "@/pages/frame/Confirm";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { Dialog } from "@/ui/dialog";
import { TextArea, TextField } from "@/ui/fields";
import { toast } from "@/ui/toast";

import { changeAdapter } from "./queries";
import { wordsOf } from "./upload";

const WORDS = strings.adapters;
const FIELDS = new Set(["title", "description", "trigger_words", "default_scale"]);

interface EditAdapterProps {
  adapter: Adapter;
  open: boolean;
  onClose: () => void;
  onDone: () => unknown;
}

export function EditAdapter({ adapter, open, onClose, onDone }: EditAdapterProps) {
  const form = useId();
  return (
    <Dialog
      open={open}
      onClose={onClose}
      title={WORDS.editTitle(adapter.address)}
      footer={
        <>
          <Button onClick={onClose}>{strings.shell.cancel}</Button>
          <Button kind="primary" type="submit" form={form}>
            {WORDS.save}
          </Button>
        </>
      }
    >
      <Form
        adapter={adapter}
        id={form}
        onDone={() => {
          toast(WORDS.saved, "ok");
          onClose();
          void onDone();
        }}
      />
    </Dialog>
  );
}

function Form({ adapter, id, onDone }: { adapter: Adapter; id: string; onDone: () => void }) {
  const [title, setTitle] = useState(adapter.title);
  const [description, setDescription] = useState(adapter.description);
  const [words, setWords] = useState(adapter.trigger_words.join(", "));
  const [scale, setScale] = useState(String(adapter.default_scale));
  const saving = useMutation({
    mutationFn: () =>
      changeAdapter(adapter, { title, description, triggerWords: wordsOf(words), defaultScale: Number(scale) }),
    onSuccess: onDone,
  });
  const error = saving.error === null ? null : asApiError(saving.error);
  const at = error?.param?.split(".")[0] ?? "";
  const told = (field: string) => (at === field ? error?.message : null);
  return (
    <form
      id={id}
      className="flex flex-col gap-3"
      onSubmit={(event) => {
        event.preventDefault();
        saving.mutate();
      }}
    >
      <TextField
        label={WORDS.form.adapterTitle}
        value={title}
        maxLength={120}
        error={told("title")}
        onChange={({ target }) => {
          setTitle(target.value);
        }}
      />
      <TextArea
        label={WORDS.form.description}
        value={description}
        maxLength={4000}
        error={told("description")}
        onChange={({ target }) => {
          setDescription(target.value);
        }}
      />
      <TextField
        label={WORDS.form.words}
        hint={WORDS.form.wordsHint}
        value={words}
        error={told("trigger_words")}
        onChange={({ target }) => {
          setWords(target.value);
        }}
      />
      <TextField
        type="number"
        step="any"
        min={-10}
        max={10}
        required
        label={WORDS.form.scale}
        hint={WORDS.form.scaleHint}
        value={scale}
        error={told("default_scale")}
        onChange={({ target }) => {
          setScale(target.value);
        }}
      />
      {error !== null && !FIELDS.has(at) && <Refusal thrown={error} />}
    </form>
  );
}
