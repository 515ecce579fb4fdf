/** The examples of a card, read as what they are: other people's documents. */
import type { Card, Json, Task } from "@/api/types";

export interface Example {
  title: string;
  task: Task | null;
  /** What was asked, in words. */
  asked: string;
  /** How a chat's model was told to behave. */
  system: string;
  /** The parameters it was asked with. */
  values: Record<string, Json>;
  text: string | null;
  /** Data URIs of pictures. */
  images: string[];
}

const PICTURE = /^data:image\/(png|jpeg|webp);base64,[A-Za-z0-9+/]+=*$/;

export function examplesOf(card: Pick<Card, "examples" | "tasks">): Example[] {
  return card.examples.map((example) => {
    const output = recordOf(example["output"]);
    const images = Array.isArray(output["images"]) ? output["images"] : [];
    return {
      title: textOf(example["title"]),
      task: (example["task"] as Task | undefined) ?? card.tasks[0] ?? null,
      asked: askedOf(recordOf(example["input"])),
      system: saidBy("system", recordOf(example["input"])["messages"]),
      values: valuesOf(recordOf(example["input"])),
      text: textOf(output["text"]) || null,
      images: images.filter((one): one is string => typeof one === "string" && PICTURE.test(one)),
    };
  });
}

/** The example that a card shows: the first that has something to show. */
export function shownExample(card: Pick<Card, "examples" | "tasks">): Example | null {
  const examples = examplesOf(card);
  return examples.find((one) => one.images.length > 0 || one.text !== null) ?? examples[0] ?? null;
}

/** Up to five pictures: the first one of every example, then the others, so that they differ. */
export function shownPictures(card: Pick<Card, "examples" | "tasks">): { source: string; asked: string }[] {
  const all = examplesOf(card).flatMap(({ images, asked }) => images.map((source, rank) => ({ source, asked, rank })));
  return all.sort((a, b) => a.rank - b.rank).slice(0, 5);
}

function askedOf(input: Record<string, unknown>): string {
  if (typeof input["prompt"] === "string") return input["prompt"];
  if (Array.isArray(input["messages"])) return saidBy("user", input["messages"]);
  const texts = input["input"];
  if (Array.isArray(texts)) return texts.filter((one) => typeof one === "string").join("\n");
  return textOf(texts);
}

/** The last that `role` says in a list of messages. */
function saidBy(role: string, messages: unknown): string {
  if (!Array.isArray(messages)) return "";
  const said = messages.map(recordOf).filter((message) => message["role"] === role);
  return textOf(said.at(-1)?.["content"]);
}

const ASKED = new Set(["messages", "prompt", "input"]);

function valuesOf(input: Record<string, unknown>): Record<string, Json> {
  return Object.fromEntries(Object.entries(input).filter(([name]) => !ASKED.has(name))) as Record<string, Json>;
}

function recordOf(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
