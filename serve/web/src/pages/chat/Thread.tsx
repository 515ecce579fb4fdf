/** The messages, scrolled along with what comes unless one has scrolled away; and what all of it took. */
import { type ReactNode, useEffect, useRef } from "react";

import type { Card } from "@/api/types";
import { strings } from "@/strings";
import { count, money } from "@/ui/quantities";
import { EmptyState } from "@/ui/states";

import type { Answer } from "./answers";
import type { Conversation } from "./conversations";
import { TurnView } from "./TurnView";

interface ThreadProps {
  conversation: Conversation;
  card: Card;
  isBusy: boolean;
  liveOf: (turnId: string, column: number) => Answer | undefined;
  resend: (index: number, text: string) => void;
  regenerate: (index: number, column: number) => void;
  /** Where nothing has been said. */
  begin: ReactNode;
  acts: ReactNode;
}

const NEAR_PIXELS = 80;

export function Thread({ conversation, card, isBusy, liveOf, resend, regenerate, begin, acts }: ThreadProps) {
  const { turns, models } = conversation;
  const end = useRef<HTMLDivElement>(null);
  const isFollowing = useRef(true);
  useEffect(() => {
    isFollowing.current = true;
  }, [conversation.id, turns.length]);
  const answers = turns.map((turn) =>
    models.map((_, column) => liveOf(turn.id, column) ?? turn.answers[column] ?? null),
  );
  const length = answers.flat().reduce((sum, answer) => sum + (answer?.text.length ?? 0), turns.length);
  useEffect(() => {
    if (isFollowing.current) end.current?.scrollIntoView({ block: "end" });
  }, [length]);
  return (
    <>
      <div className="flex shrink-0 items-center justify-between gap-3 px-4 pt-3 md:px-6">
        <p className="text-sm text-muted">{totalOf(conversation)}</p>
        {acts}
      </div>
      {/* Scrolls by itself, so the keyboard must reach it. */}
      <div
        role="log"
        aria-label={strings.chat.conversation}
        aria-live={isBusy ? "off" : "polite"}
        // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex
        tabIndex={0}
        className="min-h-0 flex-1 overflow-y-auto px-4 py-4 md:px-6"
        onScroll={({ currentTarget: { scrollHeight, scrollTop, clientHeight } }) => {
          isFollowing.current = scrollHeight - scrollTop - clientHeight < NEAR_PIXELS;
        }}
      >
        {turns.length === 0 && <EmptyState title={strings.chat.empty} text={strings.chat.emptyText} action={begin} />}
        <ol className={models.length > 1 ? "flex flex-col gap-6" : "mx-auto flex max-w-[760px] flex-col gap-6"}>
          {turns.map((turn, index) => (
            <TurnView
              key={turn.id}
              turn={turn}
              answers={answers[index] ?? []}
              card={card}
              isBusy={isBusy}
              resend={(text) => {
                resend(index, text);
              }}
              regenerate={(column) => {
                regenerate(index, column);
              }}
            />
          ))}
        </ol>
        <div ref={end} />
      </div>
    </>
  );
}

/** What the shown answers took together; empty before the first. */
function totalOf({ turns }: Conversation): string {
  const answers = turns.flatMap((turn) => turn.answers).filter((one): one is Answer => one?.tokens != null);
  if (answers.length === 0) return "";
  const tokens = answers.reduce((sum, { tokens: one }) => sum + (one ? one.prompt + one.completion : 0), 0);
  const nano = answers.reduce((sum, { cost }) => sum + (cost?.nano_usd ?? 0), 0);
  const isPriced = answers.every(({ cost }) => cost !== null);
  return strings.chat.total(answers.length, count(tokens), isPriced ? money({ nano_usd: nano, usd: "" }) : "");
}
