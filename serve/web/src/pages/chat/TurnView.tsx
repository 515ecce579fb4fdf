/** One message of the person and what came back, in as many columns as there are models. */
import { Pencil } from "lucide-react";
import { useState } from "react";

import type { Card } from "@/api/types";
import { strings } from "@/strings";
import { Button, IconButton } from "@/ui/button";
import { classes } from "@/ui/classes";
import { TextArea } from "@/ui/fields";

import type { Answer } from "./answers";
import { AnswerView } from "./AnswerView";
import type { Turn } from "./conversations";

interface TurnViewProps {
  turn: Turn;
  /** Of each column: on its way or kept. */
  answers: (Answer | null)[];
  card: Card;
  isBusy: boolean;
  resend: (text: string) => void;
  regenerate: (column: number) => void;
}

export function TurnView({ turn, answers, card, isBusy, resend, regenerate }: TurnViewProps) {
  return (
    <li className="flex flex-col gap-3">
      <Asked text={turn.text} isBusy={isBusy} resend={resend} />
      <div className={classes("grid gap-x-6 gap-y-4", answers.length > 1 && "sm:grid-cols-2")}>
        {answers.map((answer, column) =>
          answer === null ? (
            // The page was left while it was on its way, or this column came later.
            <div key={column}>
              {!isBusy && (
                <Button
                  onClick={() => {
                    regenerate(column);
                  }}
                >
                  {strings.chat.answer}
                </Button>
              )}
            </div>
          ) : (
            <AnswerView
              key={column}
              answer={answer}
              card={card}
              isNamed={answers.length > 1 || answer.model !== card.name}
              again={
                isBusy
                  ? null
                  : () => {
                      regenerate(column);
                    }
              }
            />
          ),
        )}
      </div>
    </li>
  );
}

function Asked({ text, isBusy, resend }: { text: string; isBusy: boolean; resend: (text: string) => void }) {
  const [draft, setDraft] = useState<string | null>(null);
  if (draft === null) {
    return (
      <div className="group flex items-start justify-end gap-1">
        <IconButton
          label={strings.chat.edit}
          disabled={isBusy}
          className="opacity-0 group-focus-within:opacity-100 group-hover:opacity-100 pointer-coarse:opacity-100"
          onClick={() => {
            setDraft(text);
          }}
        >
          <Pencil size={14} aria-hidden />
        </IconButton>
        <p className="max-w-[85%] rounded-md border border-line bg-raised px-3 py-1.5 whitespace-pre-wrap">
          <span className="sr-only">{strings.chat.you}: </span>
          {text}
        </p>
      </div>
    );
  }
  const send = () => {
    setDraft(null);
    resend(draft);
  };
  return (
    <form
      className="ml-auto flex w-full max-w-[85%] flex-col gap-2"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <TextArea
        label={strings.chat.edit}
        hint={strings.chat.editHint}
        value={draft}
        autoFocus
        onChange={(event) => {
          setDraft(event.target.value);
        }}
        onKeyDown={(event) => {
          if (event.key === "Escape") setDraft(null);
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) send();
        }}
      />
      <span className="flex justify-end gap-2">
        <Button
          onClick={() => {
            setDraft(null);
          }}
        >
          {strings.chat.cancelEdit}
        </Button>
        <Button kind="primary" type="submit" disabled={draft.trim() === "" || isBusy}>
          {strings.chat.resend}
        </Button>
      </span>
    </form>
  );
}
