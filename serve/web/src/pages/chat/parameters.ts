/** Which inputs of a text model are parameters here, and which of them most people want. */
import type { Card, Task } from "@/api/types";
import { ADAPTERS, fieldsOfCard, type FormField } from "@/schema-form/fields";

/** What the page itself fills in, or has no use for in a conversation. */
const ELSEWHERE = new Set([
  ADAPTERS,
  "messages",
  "prompt",
  "input",
  "tools",
  "tool_choice",
  "parallel_tool_calls",
  "response_format",
  "logprobs",
  "top_logprobs",
  "logit_bias",
  "echo",
  "n",
]);
/** The only one that embeddings have: folded away it would leave an empty form. */
const ALONE = "dimensions";

export function parametersOf(card: Card, task: Task): FormField[] {
  return fieldsOfCard(card, task)
    .filter(({ name }) => !ELSEWHERE.has(name))
    .map((field) => ({ ...field, advanced: field.advanced === true && field.name !== ALONE }));
}
