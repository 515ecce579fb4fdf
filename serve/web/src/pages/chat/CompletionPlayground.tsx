/** A text that a model goes on with, as it streams: what was written and what was added, told apart. */
import { Square } from "lucide-react";
import { useMemo, useState } from "react";

import type { Card, Json, Task } from "@/api/types";
import { checkValues } from "@/schema-form/checks";
import { SchemaForm } from "@/schema-form/SchemaForm";
import { changedOf, defaultsOf } from "@/schema-form/values";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { Select, TextArea } from "@/ui/fields";
import { ButtonKey } from "@/ui/words";

import type { Answer } from "./answers";
import { AnswerView } from "./AnswerView";
import { CodeButton, CodePanel } from "./CodeDialog";
import { ExampleChips } from "./ExampleChips";
import { parametersOf } from "./parameters";
import { PlaygroundFrame } from "./PlaygroundFrame";
import { Quota } from "./Quota";
import { useAnswers } from "./useAnswers";
import { useModelChoices } from "./useModelChoices";

const KEY = "completion";

/** What was asked together with what came: the prompt may have been changed since. */
interface Completed {
  prompt: string;
  answer: Answer;
}

export function CompletionPlayground({ card, task, showsApi = false }: { card: Card; task: Task; showsApi?: boolean }) {
  const fields = useMemo(() => parametersOf(card, task), [card, task]);
  const [values, setValues] = useState<Record<string, Json>>(() => defaultsOf(fields));
  const [model, setModel] = useState(card.name);
  const [prompt, setPrompt] = useState("");
  const [asked, setAsked] = useState("");
  const [ended, setEnded] = useState<Completed | null>(null);
  const { live, ask, stop, isBusy } = useAnswers();
  const choices = useModelChoices(card, task, false);
  const errors = checkValues(fields, values);
  const canRun = prompt !== "" && !isBusy && Object.keys(errors).length === 0;
  const bodyOf = (text: string) => ({ prompt: text, ...changedOf(fields, values) });
  const run = (text: string) => {
    setAsked(text);
    setEnded(null);
    const onEnd = (answer: Answer) => {
      setEnded({ prompt: text, answer });
    };
    ask({ key: KEY, path: "/v1/completions", model, body: bodyOf(text), onEnd });
  };
  const body = () => ({ model, ...bodyOf(prompt) });
  const running = live[KEY];
  const shown = running === undefined ? ended : { prompt: asked, answer: running };

  return (
    <PlaygroundFrame
      settings={
        <div className="flex flex-col gap-3">
          <Select
            label={strings.chat.model}
            value={model}
            options={choices}
            disabled={isBusy}
            onChange={(event) => {
              setModel(event.target.value);
            }}
          />
          <SchemaForm
            fields={fields}
            values={values}
            errors={errors}
            disabled={isBusy}
            model={card.name}
            onChange={(name, value) => {
              setValues((before) => ({ ...before, [name]: value }));
            }}
          />
        </div>
      }
    >
      <div className="mx-auto flex w-full max-w-[860px] flex-col gap-4 overflow-y-auto p-4 md:p-6">
        <TextArea
          label={strings.chat.completion.prompt}
          placeholder={strings.chat.completion.promptHint}
          rows={5}
          value={prompt}
          onChange={(event) => {
            setPrompt(event.target.value);
          }}
          onKeyDown={(event) => {
            if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && canRun) run(prompt);
            if (event.key === "Escape" && isBusy) stop();
          }}
        />
        <div className="flex flex-wrap items-center gap-2">
          {isBusy ? (
            <Button large onClick={stop}>
              <Square size={12} fill="currentColor" aria-hidden /> {strings.chat.stop}
            </Button>
          ) : (
            <Button
              kind="primary"
              large
              disabled={!canRun}
              onClick={() => {
                run(prompt);
              }}
            >
              {strings.chat.completion.run} <ButtonKey>Ctrl ↵</ButtonKey>
            </Button>
          )}
          {!showsApi && <CodeButton endpoint="completion" body={body} />}
          <Quota />
        </div>
        {showsApi && <CodePanel endpoint="completion" body={body} />}
        {!showsApi && shown === null && (
          <div className="flex flex-col gap-6 py-8 text-center text-muted">
            <p>{strings.chat.completion.empty}</p>
            <ExampleChips
              card={card}
              task={task}
              choose={({ asked: text, values: given }) => {
                setPrompt(text);
                setValues({ ...defaultsOf(fields), ...given });
              }}
            />
          </div>
        )}
        {!showsApi && shown !== null && (
          <Result shown={shown} card={card} isBusy={isBusy} run={run} adopt={setPrompt} />
        )}
      </div>
    </PlaygroundFrame>
  );
}

interface ResultProps {
  shown: Completed;
  card: Card;
  isBusy: boolean;
  run: (prompt: string) => void;
  adopt: (prompt: string) => void;
}

function Result({ shown: { prompt, answer }, card, isBusy, run, adopt }: ResultProps) {
  return (
    <section aria-label={strings.chat.completion.result} className="flex flex-col gap-3">
      <p
        className="rounded-md border border-line bg-surface p-4 whitespace-pre-wrap"
        aria-live={isBusy ? "off" : "polite"}
      >
        <span className="text-muted">{prompt}</span>
        <mark className="bg-accent-soft text-fg">{answer.text}</mark>
      </p>
      <AnswerView
        answer={answer}
        card={card}
        isNamed={answer.model !== card.name}
        isTextElsewhere
        again={
          isBusy
            ? null
            : () => {
                run(prompt);
              }
        }
      />
      {!isBusy && answer.text !== "" && (
        <Button
          className="self-start"
          onClick={() => {
            adopt(prompt + answer.text);
          }}
        >
          {strings.chat.completion.adopt}
        </Button>
      )}
    </section>
  );
}
