/** The tenant's workflows, the templates, and what makes workflows of them or of files. */
import { keepPreviousData, useInfiniteQuery, useQuery } from "@tanstack/react-query";

import { api, call, unwrap } from "@/api/client";
import type { Schemas, Workflow, WorkflowSpec } from "@/api/types";

export type Template = Schemas["TemplateView"];
export type Imported = Schemas["ImportedView"];

const PAGE = 50;

export function useWorkflows(text: string) {
  return useInfiniteQuery({
    queryKey: ["workflows", "list", text],
    queryFn: ({ pageParam }) =>
      unwrap(api.GET("/v1/workflows", { params: { query: { q: text, limit: PAGE, after: pageParam ?? undefined } } })),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => (page.has_more ? (page.data.at(-1)?.name ?? null) : null),
    placeholderData: keepPreviousData,
  });
}

export function useTemplates() {
  return useQuery({
    queryKey: ["workflow-templates"],
    queryFn: async () => (await unwrap(api.GET("/v1/workflow-templates"))).data,
    staleTime: 60_000,
  });
}

export const BLANK: WorkflowSpec = { format: "workflow/v1", nodes: {} } as unknown as WorkflowSpec;

/** Save `document` as a new workflow. Raises ApiError: `name` may be taken. */
export async function createWorkflow(name: string, document: WorkflowSpec): Promise<Workflow> {
  const response = await call(`/v1/workflows/${encodeURIComponent(name)}/draft`, {
    method: "PUT",
    headers: { "content-type": "application/json", "if-none-match": "*" },
    body: JSON.stringify(document),
  });
  return (await response.json()) as Workflow;
}

/** For models that are not here, by the names that the file has for them: those that take their place. */
export type ModelChoices = Readonly<Record<string, string>>;

/** Read a picture, a JSON or a YAML file as a workflow; nothing is kept. Raises ApiError. */
export async function readFile(file: File, models: ModelChoices, signal: AbortSignal): Promise<Imported> {
  const body = new FormData();
  body.set("file", file, file.name);
  if (Object.keys(models).length > 0) body.set("models", JSON.stringify(models));
  const response = await call("/v1/workflows/import", { method: "POST", body, signal });
  return (await response.json()) as Imported;
}
