/** One model's answer: its words, and under it what it took. */
import { RotateCcw } from "lucide-react";

import type { Card } from "@/api/types";
import { strings } from "@/strings";
import { Button, IconButton } from "@/ui/button";
import { CopyButton } from "@/ui/code";
import { duration, money } from "@/ui/quantities";
import { StateWord } from "@/ui/words";

import { type Answer, tokensPerSecond } from "./answers";
import { AnswerText } from "./AnswerText";

interface AnswerViewProps {
  answer: Answer;
  /** Of the model of the page, to say that it has to wake up. */
  card: Card;
  /** Shown above where two stand side by side. */
  isNamed: boolean;
  /** Its words stand in a text of their own: only what it took is told here. */
  isTextElsewhere?: boolean;
  again: (() => void) | null;
}

export function AnswerView({ answer, card, isNamed, isTextElsewhere = false, again }: AnswerViewProps) {
  const isEmpty = answer.text === "";
  return (
    <div className="flex min-w-0 flex-col gap-1.5" aria-busy={answer.status === "streaming"}>
      {isNamed && <p className="truncate font-mono text-xs text-muted">{answer.model}</p>}
      {isEmpty && answer.status === "streaming" && <Waiting card={card} />}
      {!isEmpty && !isTextElsewhere && <AnswerText text={answer.text} />}
      {answer.error !== null && <Failure answer={answer} again={again} />}
      {answer.status !== "streaming" && (
        <div className="flex flex-wrap items-center gap-x-3 gap-y-1 text-sm text-faint">
          <Facts answer={answer} />
          <span className="flex">
            {!isEmpty && <CopyButton text={answer.text} label={strings.chat.copyAnswer} />}
            {again !== null && answer.error === null && (
              <IconButton label={strings.chat.regenerate} onClick={again}>
                <RotateCcw size={14} aria-hidden />
              </IconButton>
            )}
          </span>
        </div>
      )}
    </div>
  );
}

function Waiting({ card }: { card: Card }) {
  const isAsleep = card.state === "at_zero" || card.state === "loading";
  const seconds = card.cold_start_seconds;
  if (!isAsleep) return <p className="text-faint">{strings.chat.waiting}</p>;
  return (
    <p className="text-faint">{seconds === null ? strings.chat.waking : strings.chat.wakingIn(duration(seconds))}</p>
  );
}

function Facts({ answer }: { answer: Answer }) {
  const says = strings.chat;
  const { tokens, cost, firstTextSeconds: first, reason, status } = answer;
  const speed = tokensPerSecond(answer);
  const ended = reason === null ? undefined : says.ended[reason];
  const facts = [
    tokens && says.tokens(tokens.prompt, tokens.completion),
    tokens && tokens.cached > 0 && says.cached(tokens.cached),
    cost && money(cost),
    first !== null && says.first(duration(first)),
    speed !== null && says.speed(speed.toFixed(speed < 10 ? 1 : 0)),
  ].filter((fact): fact is string => typeof fact === "string");
  return (
    <>
      {status === "stopped" && <StateWord tone="plain">{says.stopped}</StateWord>}
      {ended !== undefined && <StateWord tone="warn">{ended}</StateWord>}
      {facts.map((fact) => (
        <span key={fact}>{fact}</span>
      ))}
    </>
  );
}

function Failure({ answer: { error }, again }: { answer: Answer; again: (() => void) | null }) {
  if (error === null) return null;
  const wait = error.retryAfterSeconds;
  return (
    <div role="alert" className="flex flex-wrap items-center gap-3 rounded-sm border border-bad px-3 py-2">
      <p className="min-w-0 flex-1 text-bad">
        {error.message} {wait !== null && strings.chat.retryIn(wait)}
      </p>
      {again !== null && <Button onClick={again}>{strings.chat.retry}</Button>}
    </div>
  );
}
