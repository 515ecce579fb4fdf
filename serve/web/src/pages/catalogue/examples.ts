/** The examples of a card, read as what they are: other people's documents. */
import type { Card, Task } from "@/api/types";

export interface Example {
  title: string;
  task: Task | null;
  /** What was asked, in words. */
  asked: string;
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
  const { messages } = input;
  if (Array.isArray(messages)) {
    const users = messages.map(recordOf).filter((message) => message["role"] === "user");
    return textOf(users.at(-1)?.["content"]);
  }
  const texts = input["input"];
  if (Array.isArray(texts)) return texts.filter((one) => typeof one === "string").join("\n");
  return textOf(texts);
}

function recordOf(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
