/** A new key: what it is for, what it may do, until when; models and limits where they are wanted. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useId, useState } from "react";

import { useProjects } from "@/api/queries";
import { Refusal } from "@/pages/frame/Confirm";
import { useSession } from "@/shell/session";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { Dialog } from "@/ui/dialog";
import { Select, TextField } from "@/ui/fields";

import { LimitFields } from "./LimitFields";
import { ModelFields } from "./ModelFields";
import { createKey } from "./queries";
import { bodyOf, type KeyForm, type Scope, SCOPES } from "./state";

const WORDS = strings.keys.form;
const EMPTY: KeyForm = {
  title: "",
  scopes: ["inference", "read"],
  expires: "90",
  project: "",
  models: {},
  requests: "",
  tokens: "",
  images: "",
};

interface NewKeyProps {
  open: boolean;
  onClose: () => void;
  onSecret: (secret: string) => void;
}

export function NewKey({ open, onClose, onSecret }: NewKeyProps) {
  const id = useId();
  const queries = useQueryClient();
  const creating = useMutation({
    mutationFn: (form: KeyForm) => createKey(bodyOf(form, Date.now())),
    // The answer holds the secret: it goes to the one view that shows it, and into no cache.
    gcTime: 0,
    onSuccess: ({ key }) => {
      onClose();
      onSecret(key);
      creating.reset();
      void queries.invalidateQueries({ queryKey: ["keys"] });
    },
  });
  return (
    <Dialog
      open={open}
      onClose={onClose}
      title={WORDS.create}
      footer={
        <>
          <Button onClick={onClose}>{strings.shell.cancel}</Button>
          <Button kind="primary" type="submit" form={id} disabled={creating.isPending}>
            {WORDS.submit}
          </Button>
        </>
      }
    >
      <Form id={id} error={creating.error} onSubmit={creating.mutate} />
    </Dialog>
  );
}

function Form({ id, error, onSubmit }: { id: string; error: Error | null; onSubmit: (form: KeyForm) => void }) {
  const { me } = useSession();
  const projects = useProjects().data?.data ?? [];
  const [form, setForm] = useState<KeyForm>({ ...EMPTY, project: me?.project ?? "" });
  const [isTried, setTried] = useState(false);
  const set = (changed: Partial<KeyForm>) => {
    setForm({ ...form, ...changed });
  };
  return (
    <form
      id={id}
      noValidate
      className="flex flex-col gap-4"
      onSubmit={(event) => {
        event.preventDefault();
        setTried(true);
        if (form.title.trim() !== "") onSubmit(form);
      }}
    >
      <TextField
        label={WORDS.title}
        value={form.title}
        maxLength={120}
        autoFocus
        error={isTried && form.title.trim() === "" ? WORDS.noTitle : null}
        onChange={({ target }) => {
          set({ title: target.value });
        }}
      />
      <Scopes chosen={form.scopes} set={set} />
      <div className="grid grid-cols-2 gap-3">
        <Select
          label={WORDS.expires}
          value={form.expires}
          options={Object.entries(WORDS.expiries).map(([value, label]) => ({ value, label }))}
          onChange={({ target }) => {
            set({ expires: target.value });
          }}
        />
        <Select
          label={WORDS.project}
          value={form.project}
          options={projects.map(({ name }) => ({ value: name, label: name }))}
          onChange={({ target }) => {
            set({ project: target.value });
          }}
        />
      </div>
      <details>
        <summary className="cursor-pointer text-muted hover:text-fg">{WORDS.more}</summary>
        <div className="flex flex-col gap-4 pt-3">
          <ModelFields
            chosen={form.models}
            onChange={(models) => {
              set({ models });
            }}
          />
          <LimitFields values={form} onChange={set} hint={WORDS.limitsHint} />
        </div>
      </details>
      {error !== null && <Refusal thrown={error} />}
    </form>
  );
}

function Scopes({ chosen, set }: { chosen: Scope[]; set: (changed: Partial<KeyForm>) => void }) {
  // A key grants no more than its maker has.
  const { may } = useSession();
  return (
    <fieldset>
      <legend className="text-sm text-muted">{WORDS.scopes}</legend>
      {SCOPES.filter(may).map((scope) => (
        <label key={scope} className="flex min-h-7 items-center gap-2">
          <input
            type="checkbox"
            className="accent-accent"
            checked={chosen.includes(scope)}
            onChange={({ target }) => {
              set({ scopes: target.checked ? [...chosen, scope] : chosen.filter((one) => one !== scope) });
            }}
          />
          {strings.keys.scopes[scope][0]}
          <code className="font-mono text-xs text-faint">{scope}</code>
        </label>
      ))}
    </fieldset>
  );
}
