/** Lines of text turned into vectors, and how alike they are. */
import { useMemo, useState } from "react";

import { asApiError } from "@/api/errors";
import type { Card, Json, Task } from "@/api/types";
import { examplesOf } from "@/pages/catalogue/examples";
import { checkValues } from "@/schema-form/checks";
import { SchemaForm } from "@/schema-form/SchemaForm";
import { changedOf, defaultsOf } from "@/schema-form/values";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { TextArea } from "@/ui/fields";
import { ErrorState } from "@/ui/states";
import { ButtonKey } from "@/ui/words";

import { CodeButton, CodePanel } from "./CodeDialog";
import { parametersOf } from "./parameters";
import { PlaygroundFrame } from "./PlaygroundFrame";
import { Quota } from "./Quota";
import { SimilarityTable } from "./SimilarityTable";
import { linesOf } from "./similarity";
import { useEmbedding } from "./useEmbedding";

/** A table of more has no room on a screen. */
const MAX_LINES = 24;

export function EmbeddingPlayground({ card, task, showsApi = false }: { card: Card; task: Task; showsApi?: boolean }) {
  const fields = useMemo(() => parametersOf(card, task), [card, task]);
  const [values, setValues] = useState<Record<string, Json>>(() => defaultsOf(fields));
  const [text, setText] = useState(() => examplesOf(card).find((one) => one.task === task)?.asked ?? "");
  const embedding = useEmbedding();
  const errors = checkValues(fields, values);
  const texts = linesOf(text);
  const refusal = texts.length > MAX_LINES ? strings.chat.embedding.tooMany(MAX_LINES) : null;
  const canRun = texts.length > 0 && refusal === null && !embedding.isPending && Object.keys(errors).length === 0;
  const given = changedOf(fields, values);
  const body = () => ({ model: card.name, input: texts, ...given });
  const run = () => {
    if (canRun) embedding.mutate({ model: card.name, texts, values: given });
  };

  return (
    <PlaygroundFrame
      settings={
        <SchemaForm
          fields={fields}
          values={values}
          errors={errors}
          model={card.name}
          onChange={(name, value) => {
            setValues((before) => ({ ...before, [name]: value }));
          }}
        />
      }
    >
      <div className="mx-auto flex w-full max-w-[960px] flex-col gap-4 overflow-y-auto p-4 md:p-6">
        <TextArea
          label={strings.chat.embedding.texts}
          placeholder={strings.chat.embedding.textsHint}
          rows={6}
          value={text}
          error={refusal}
          onChange={(event) => {
            setText(event.target.value);
          }}
          onKeyDown={(event) => {
            if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) run();
          }}
        />
        <div className="flex flex-wrap items-center gap-2">
          <Button kind="primary" large disabled={!canRun} onClick={run}>
            {strings.chat.embedding.run} <ButtonKey>Ctrl ↵</ButtonKey>
          </Button>
          {!showsApi && <CodeButton endpoint="embedding" body={body} />}
          <Quota />
        </div>
        {showsApi && <CodePanel endpoint="embedding" body={body} />}
        <div hidden={showsApi} aria-live="polite" aria-busy={embedding.isPending}>
          {embedding.isPending && <p className="py-8 text-center text-muted">{strings.chat.embedding.busy}</p>}
          {embedding.isIdle && <p className="py-8 text-center text-muted">{strings.chat.embedding.empty}</p>}
          {embedding.isError && <ErrorState error={asApiError(embedding.error)} retry={run} />}
          {embedding.isSuccess && <SimilarityTable embedded={embedding.data} />}
        </div>
      </div>
    </PlaygroundFrame>
  );
}
