/** A new adapter, from files or from an address. What is refused is told at the field that it is about. */
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";

import type { ApiError } from "@/api/client";
import { asApiError, isAborted } from "@/api/errors";
import type { Card } from "@/api/types";
import { Refusal } from "@/pages/frame/Confirm";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { Dialog } from "@/ui/dialog";
import { Select, TextField } from "@/ui/fields";
import { Progress } from "@/ui/progress";
import { bytes } from "@/ui/quantities";
import { Tabs } from "@/ui/tabs";
import { toast } from "@/ui/toast";

import { FileDrop } from "./FileDrop";
import { importAdapter } from "./queries";
import { nameFrom, type Stored, uploadAdapter, wordsOf } from "./upload";

const WORDS = strings.adapters.form;
const AT_FIELDS = new Set(["name", "base", "trigger_words", "default_scale", "file", "uri"]);

interface Sent {
  sent: number;
  total: number;
}

interface NewAdapterProps {
  open: boolean;
  bases: Card[];
  onClose: () => void;
}

export function NewAdapter({ open, bases, onClose }: NewAdapterProps) {
  return (
    <Dialog open={open} onClose={onClose} title={WORDS.title}>
      <Form bases={bases} onClose={onClose} />
    </Dialog>
  );
}

function Form({ bases, onClose }: { bases: Card[]; onClose: () => void }) {
  const [from, setFrom] = useState("files");
  const [files, setFiles] = useState<File[]>([]);
  const [uri, setUri] = useState("");
  const [values, setValues] = useState({ name: "", base: "", words: "", scale: "" });
  const { state, error, submit, stop } = useSubmit(onClose);
  const told = (field: string) => (error !== null && fieldOf(error) === field ? withCode(error) : null);
  const set = (changed: Partial<typeof values>) => {
    setValues({ ...values, ...changed });
  };
  const choose = (chosen: File[]) => {
    setFiles(chosen);
    const [first] = chosen;
    if (values.name === "" && first) set({ name: nameFrom(first.name) });
  };
  const fields = {
    name: values.name.trim(),
    base: values.base,
    triggerWords: wordsOf(values.words),
    defaultScale: values.scale,
  };
  return (
    <form
      className="flex flex-col gap-3"
      onSubmit={(event) => {
        event.preventDefault();
        if (from === "files") submit((onSent, signal) => uploadAdapter({ ...fields, files }, onSent, signal));
        else submit(() => importAdapter({ ...fields, uri: uri.trim() }));
      }}
    >
      <Tabs
        label={WORDS.title}
        value={from}
        onChange={setFrom}
        tabs={[
          {
            value: "files",
            label: WORDS.fromFile,
            content: <FileDrop files={files} onChange={choose} error={told("file")} />,
          },
          {
            value: "address",
            label: WORDS.fromAddress,
            content: (
              <TextField
                label={WORDS.uri}
                hint={WORDS.uriHint}
                value={uri}
                error={told("uri")}
                onChange={({ target }) => {
                  setUri(target.value);
                }}
              />
            ),
          },
        ]}
      />
      <Words values={values} bases={bases} set={set} told={told} />
      {error !== null && !AT_FIELDS.has(fieldOf(error)) && <Refusal thrown={error} />}
      <Foot
        isImport={from === "address"}
        state={state}
        isReady={fields.name !== "" && (from === "files" ? files.length > 0 : uri.trim() !== "")}
        stop={stop}
      />
    </form>
  );
}

type Values = Record<"name" | "base" | "words" | "scale", string>;

interface WordsProps {
  values: Values;
  bases: Card[];
  set: (changed: Partial<Values>) => void;
  told: (field: string) => string | null;
}

function Words({ values, bases, set, told }: WordsProps) {
  return (
    <>
      <TextField
        label={WORDS.name}
        hint={WORDS.nameHint}
        value={values.name}
        error={told("name")}
        onChange={({ target }) => {
          set({ name: target.value });
        }}
      />
      <Select
        label={WORDS.base}
        hint={WORDS.baseHint}
        value={values.base}
        error={told("base")}
        options={[
          { value: "", label: strings.adapters.anyBaseThatFits },
          ...bases.map(({ name }) => ({ value: name, label: name })),
        ]}
        onChange={({ target }) => {
          set({ base: target.value });
        }}
      />
      <TextField
        label={WORDS.words}
        hint={WORDS.wordsHint}
        value={values.words}
        error={told("trigger_words")}
        onChange={({ target }) => {
          set({ words: target.value });
        }}
      />
      <TextField
        type="number"
        step="any"
        min={-10}
        max={10}
        placeholder="1"
        label={WORDS.scale}
        hint={WORDS.scaleHint}
        value={values.scale}
        error={told("default_scale")}
        onChange={({ target }) => {
          set({ scale: target.value });
        }}
      />
    </>
  );
}

interface FootProps {
  isImport: boolean;
  state: "idle" | "checking" | Sent;
  isReady: boolean;
  stop: () => void;
}

function Foot({ isImport, state, isReady, stop }: FootProps) {
  const isSending = typeof state === "object";
  const told = isSending
    ? WORDS.sending(bytes(state.sent), bytes(state.total))
    : state === "checking" && (isImport ? WORDS.importing : WORDS.checking);
  return (
    <div className="flex flex-col gap-2">
      {isSending && <Progress label={WORDS.upload} fraction={state.total === 0 ? null : state.sent / state.total} />}
      <div className="flex items-center justify-end gap-2">
        <p aria-live="polite" className="mr-auto text-muted">
          {told}
        </p>
        {state !== "idle" && !isImport && <Button onClick={stop}>{WORDS.stop}</Button>}
        <Button kind="primary" type="submit" disabled={state !== "idle" || !isReady}>
          {isImport ? WORDS.import : WORDS.upload}
        </Button>
      </div>
    </div>
  );
}

type Work = (onSent: (sent: number, total: number) => void, signal: AbortSignal) => Promise<Stored>;

/** Does the work once at a time, and tells how far it is. */
function useSubmit(onDone: () => void) {
  const queries = useQueryClient();
  const [state, setState] = useState<FootProps["state"]>("idle");
  const [error, setError] = useState<ApiError | null>(null);
  const working = useRef<AbortController>(null);
  // Closing the form stops what it sends.
  useEffect(() => () => working.current?.abort(), []);
  const onSent = (sent: number, total: number) => {
    setState(sent < total ? { sent, total } : "checking");
  };
  const run = async (work: Work) => {
    const stopper = new AbortController();
    working.current = stopper;
    setError(null);
    setState("checking");
    try {
      const { adapter, isNew } = await work(onSent, stopper.signal);
      toast(isNew ? WORDS.stored(adapter.name) : WORDS.same(adapter.name), "ok");
      void queries.invalidateQueries({ queryKey: ["adapters"] });
      onDone();
    } catch (thrown) {
      if (!isAborted(thrown)) setError(asApiError(thrown));
    }
    setState("idle");
  };
  return { state, error, submit: (work: Work) => void run(work), stop: () => working.current?.abort() };
}

function fieldOf(error: ApiError): string {
  return error.param?.split(/[.[]/)[0] ?? "";
}

function withCode(error: ApiError): string {
  return `${error.message} (${error.code})`;
}
