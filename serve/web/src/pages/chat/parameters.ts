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
const FIRST = new Set(["max_tokens", "temperature", "top_p", "dimensions"]);

export function parametersOf(card: Card, task: Task): FormField[] {
  return fieldsOfCard(card, task)
    .filter(({ name }) => !ELSEWHERE.has(name))
    .map((field) => ({ ...field, advanced: !FIRST.has(field.name) }));
}
