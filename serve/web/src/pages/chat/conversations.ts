/** Conversations: what was asked, what each column answered. They stay in this browser, by tenant and person. */
import { freshId } from "@/api/fresh-id";
import type { Json } from "@/api/types";

import type { Answer } from "./answers";

export interface Turn {
  id: string;
  text: string;
  /** By column; null where a column was not asked. */
  answers: (Answer | null)[];
}

export interface Conversation {
  id: string;
  /** The model whose page it belongs to. */
  page: string;
  system: string;
  /** One model, or two side by side, as calls address them. */
  models: string[];
  values: Record<string, Json>;
  turns: Turn[];
  /** Unix milliseconds. */
  updated: number;
}

export interface Message {
  role: "system" | "user" | "assistant";
  content: string;
}

export const MAX_KEPT = 40;
export const MAX_CHARACTERS = 600_000;

export function newConversation(page: string, model: string, now: number, values: Record<string, Json>): Conversation {
  return { id: freshId(), page, system: "", models: [model], values, turns: [], updated: now };
}

/** Its first question, shortened. */
export function titleOf({ turns }: Conversation): string {
  const text = turns[0]?.text.trim().replace(/\s+/g, " ") ?? "";
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}

/** What `column` is sent to answer turn `index`. Where it was not asked before, the first column's answers stand in. */
export function messagesFor(conversation: Conversation, index: number, column: number): Message[] {
  const messages: Message[] = [];
  if (conversation.system.trim() !== "") messages.push({ role: "system", content: conversation.system });
  for (const turn of conversation.turns.slice(0, index)) {
    const answer = turn.answers[column] ?? turn.answers[0];
    messages.push({ role: "user", content: turn.text });
    if (answer && answer.text !== "") messages.push({ role: "assistant", content: answer.text });
  }
  const asked = conversation.turns[index];
  if (asked !== undefined) messages.push({ role: "user", content: asked.text });
  return messages;
}

/** With turn `index` asked anew as `text`; what came after it is gone. An index beyond the end adds a turn. */
export function withTurn(conversation: Conversation, index: number, text: string, now: number): Conversation {
  const turn: Turn = { id: freshId(), text, answers: conversation.models.map(() => null) };
  return { ...conversation, turns: [...conversation.turns.slice(0, index), turn], updated: now };
}

export function withAnswer(conversation: Conversation, turnId: string, column: number, answer: Answer): Conversation {
  const turns = conversation.turns.map((turn) => {
    if (turn.id !== turnId) return turn;
    const answers = conversation.models.map((_, index) => turn.answers[index] ?? null);
    answers[column] = answer;
    return { ...turn, answers };
  });
  return { ...conversation, turns };
}

/** The newest first, so many and so long that the browser's store has room for them. Empty ones are not kept. */
export function bounded(conversations: Conversation[]): Conversation[] {
  const newest = conversations.filter(({ turns }) => turns.length > 0).sort((a, b) => b.updated - a.updated);
  let left = MAX_CHARACTERS;
  return newest.slice(0, MAX_KEPT).filter((one) => {
    left -= JSON.stringify(one).length;
    return left >= 0;
  });
}

/** Where `owner`'s are kept. */
export function placeOf(owner: string): string {
  return `slipway.chats.1/${owner}`;
}

/** What is kept for `owner`; what cannot be read is as if it were not there. */
export function read(store: Pick<Storage, "getItem">, owner: string): Conversation[] {
  try {
    const kept: unknown = JSON.parse(store.getItem(placeOf(owner)) ?? "[]");
    return Array.isArray(kept) ? kept.filter(isConversation).map(settled) : [];
  } catch {
    return [];
  }
}

/** Keeps them; a browser without room or leave keeps nothing, and the page goes on. */
export function write(store: Pick<Storage, "setItem">, owner: string, conversations: Conversation[]): void {
  try {
    store.setItem(placeOf(owner), JSON.stringify(bounded(conversations)));
  } catch {
    // Full or forbidden: they last as long as the page.
  }
}

function isConversation(value: unknown): value is Conversation {
  if (typeof value !== "object" || value === null) return false;
  const { id, page, system, models, turns, values, updated } = value as Record<string, unknown>;
  return (
    [id, page, system].every((one) => typeof one === "string") &&
    Array.isArray(models) &&
    models.length > 0 &&
    Array.isArray(turns) &&
    turns.every(isTurn) &&
    typeof values === "object" &&
    values !== null &&
    typeof updated === "number"
  );
}

function isTurn(value: unknown): value is Turn {
  if (typeof value !== "object" || value === null) return false;
  const { id, text, answers } = value as Record<string, unknown>;
  return typeof id === "string" && typeof text === "string" && Array.isArray(answers);
}

/** What was on its way when the page was left, was stopped by that. */
function settled(conversation: Conversation): Conversation {
  const stopped = (answer: Answer | null) =>
    answer?.status === "streaming" ? { ...answer, status: "stopped" as const } : answer;
  return {
    ...conversation,
    turns: conversation.turns.map((turn) => ({ ...turn, answers: turn.answers.map(stopped) })),
  };
}
