/** What a state of the workflow is called with and answers: the draft's by a check of it, a version's as it was published. */
import { keepPreviousData, useQuery } from "@tanstack/react-query";

import { api, call, unwrap } from "@/api/client";
import type { Problem, Schemas, WorkflowSpec } from "@/api/types";
import type { CanvasDraft } from "@/editor/run/draft";

import type { ObjectSchema } from "./snippets/request";

export interface Callable {
  document: WorkflowSpec;
  inputs: ObjectSchema | null;
  outputs: ObjectSchema | null;
  problems: Problem[];
}

/** `which` is `draft`, a version's number, or an alias. */
export function useInterface(draft: CanvasDraft, which: string) {
  const { workflow, document, revision } = draft;
  return useQuery({
    queryKey: ["interface", workflow, which, which === "draft" ? revision : null],
    queryFn: () => (which === "draft" ? checkedDraft(document) : publishedVersion(workflow, which)),
    placeholderData: keepPreviousData,
  });
}

async function checkedDraft(document: WorkflowSpec): Promise<Callable> {
  const response = await call("/v1/workflows/validate", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(document),
  });
  const checked = (await response.json()) as Schemas["CheckedView"];
  return { document, inputs: checked.inputs ?? null, outputs: checked.outputs ?? null, problems: checked.problems };
}

async function publishedVersion(name: string, version: string): Promise<Callable> {
  const path = { name, version };
  const found = await unwrap(api.GET("/v1/workflows/{name}/versions/{version}", { params: { path } }));
  return {
    document: found.workflow as unknown as WorkflowSpec,
    inputs: found.inputs,
    outputs: found.outputs,
    problems: found.problems,
  };
}
