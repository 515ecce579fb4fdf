/** The drafts of workflows on the platform, as the editor reads and saves them. */
import { call } from "@/api/client";
import type { Json, Problem, Workflow, WorkflowSpec } from "@/api/types";

export type SavedDraft = Workflow & { problems: Problem[] };
export type Draft = SavedDraft & { workflow: WorkflowSpec; is_published: boolean };

/** What a save replaces: the state of this revision; any (`any`); nothing, the workflow is new (`none`). */
export type Replaces = { revision: string } | "any" | "none";

/** Where drafts are kept; all of it raises ApiError. */
export interface Drafts {
  read: (workflow: string) => Promise<Draft>;
  /** Without the document: whether anybody has saved. */
  look: (workflow: string) => Promise<Workflow>;
  save: (workflow: string, document: WorkflowSpec, replaces: Replaces) => Promise<SavedDraft>;
}

function pathOf(workflow: string): string {
  return `/v1/workflows/${encodeURIComponent(workflow)}`;
}

function condition(replaces: Replaces): Record<string, string> {
  if (replaces === "none") return { "if-none-match": "*" };
  return { "if-match": replaces === "any" ? "*" : `"${replaces.revision}"` };
}

async function read<T>(path: string): Promise<T> {
  return (await (await call(path)).json()) as T;
}

export const drafts: Drafts = {
  read: (workflow) => read<Draft>(`${pathOf(workflow)}/draft`),
  look: (workflow) => read<Workflow>(pathOf(workflow)),
  save: async (workflow, document, replaces) => {
    const headers = { "content-type": "application/json", ...condition(replaces) };
    const init = { method: "PUT", headers, body: JSON.stringify(document) };
    return (await (await call(`${pathOf(workflow)}/draft`, init)).json()) as SavedDraft;
  },
};

/** Whether two values are the same JSON, whatever the order of their keys. */
export function isSameJson(one: unknown, other: unknown): boolean {
  if (one === other) return true;
  if (typeof one !== "object" || typeof other !== "object" || one === null || other === null) return false;
  if (Array.isArray(one) !== Array.isArray(other)) return false;
  const [a, b] = [one as Record<string, Json>, other as Record<string, Json>];
  const keys = Object.keys(a);
  if (keys.length !== Object.keys(b).length) return false;
  return keys.every((key) => Object.hasOwn(b, key) && isSameJson(a[key], b[key]));
}
