/** A conversation with a chat model, or with two side by side: settings, messages, what was talked about before. */
import { useMemo } from "react";

import type { Card, Task } from "@/api/types";
import { checkValues } from "@/schema-form/checks";
import { changedOf, defaultsOf } from "@/schema-form/values";
import { strings } from "@/strings";

import { ChatSettings } from "./ChatSettings";
import { CodeButton, CodePanel } from "./CodeDialog";
import { Composer } from "./Composer";
import { ConversationList } from "./ConversationList";
import { type Conversation, messagesFor, withAnswer, withTurn } from "./conversations";
import { ExampleChips } from "./ExampleChips";
import { parametersOf } from "./parameters";
import { PlaygroundFrame } from "./PlaygroundFrame";
import { Quota } from "./Quota";
import type { Body } from "./snippets";
import { Thread } from "./Thread";
import { useAnswers } from "./useAnswers";
import { useConversations } from "./useConversations";

const PATH = "/v1/chat/completions";

interface ChatPlaygroundProps {
  card: Card;
  task: Task;
  /** The call as code in place of the conversation. */
  showsApi?: boolean;
}

export function ChatPlayground({ card, task, showsApi = false }: ChatPlaygroundProps) {
  const fields = useMemo(() => parametersOf(card, task), [card, task]);
  const held = useConversations(card.name, defaultsOf(fields));
  const { live, ask, stop, isBusy } = useAnswers();
  const { current } = held;
  const errors = checkValues(fields, current.values);

  const bodyOf = (conversation: Conversation, index: number, column: number): Body => ({
    messages: messagesFor(conversation, index, column).map((message) => ({ ...message })),
    ...changedOf(fields, conversation.values),
  });
  const askColumn = (conversation: Conversation, index: number, column: number) => {
    const turn = conversation.turns[index];
    const model = conversation.models[column];
    if (turn === undefined || model === undefined) return;
    const onEnd = (answer: Parameters<typeof withAnswer>[3]) => {
      held.change(conversation.id, (now) => withAnswer(now, turn.id, column, answer));
    };
    ask({ key: keyOf(turn.id, column), path: PATH, model, body: bodyOf(conversation, index, column), onEnd });
  };
  /** Asks turn `index` anew, of every column. */
  const send = (index: number, text: string, told: Partial<Conversation> = {}) => {
    const asked = withTurn({ ...current, ...told }, index, text, Date.now());
    held.put(asked);
    asked.models.forEach((_, column) => {
      askColumn(asked, index, column);
    });
  };
  const regenerate = (index: number, column: number) => {
    const kept = { ...current, turns: current.turns.slice(0, index + 1), updated: Date.now() };
    held.put(kept);
    askColumn(kept, index, column);
  };
  const change = (changed: Partial<Conversation>) => {
    held.change(current.id, (now) => ({ ...now, ...changed }));
  };
  const code = () => {
    const last = Math.max(0, current.turns.length - 1);
    const asked = current.turns.length > 0 ? current : withTurn(current, 0, strings.chat.messageHint, 0);
    return { model: current.models[0] ?? card.name, ...bodyOf(asked, last, 0) };
  };

  return (
    <PlaygroundFrame
      settings={
        <ChatSettings
          card={card}
          conversation={current}
          fields={fields}
          errors={errors}
          disabled={isBusy}
          change={change}
        />
      }
      history={<ConversationList held={held} isBusy={isBusy} />}
    >
      {showsApi ? (
        <div className="mx-auto w-full max-w-[860px] overflow-y-auto p-4 md:p-6">
          <CodePanel endpoint="chat" body={code} />
        </div>
      ) : (
        <>
          <Thread
            conversation={current}
            card={card}
            isBusy={isBusy}
            liveOf={(turnId, column) => live[keyOf(turnId, column)]}
            resend={send}
            regenerate={regenerate}
            begin={
              <ExampleChips
                card={card}
                task={task}
                choose={({ asked, system, values }) => {
                  send(0, asked, { system, values: { ...defaultsOf(fields), ...values } });
                }}
              />
            }
            acts={<CodeButton endpoint="chat" body={code} />}
          />
          <div className="flex shrink-0 flex-col gap-2 border-t border-line bg-bg px-4 py-3 max-lg:sticky max-lg:bottom-0 md:px-6">
            <Composer
              isBusy={isBusy}
              refusal={Object.keys(errors).length > 0 ? strings.chat.invalid : null}
              send={(text) => {
                send(current.turns.length, text);
              }}
              stop={stop}
            />
            <Quota />
          </div>
        </>
      )}
    </PlaygroundFrame>
  );
}

function keyOf(turnId: string, column: number): string {
  return `${turnId}/${String(column)}`;
}
