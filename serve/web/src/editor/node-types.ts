/** What a workflow can be made of, as `GET /v1/node-types` tells it. */
import { useQuery } from "@tanstack/react-query";

import { api, unwrap } from "@/api/client";
import type { InputSchema, Json } from "@/api/types";

export interface Port {
  name: string;
  /** `text`, `list[image]`; of generic operations `T` and `list[T]`. Of outputs null where it is not known beforehand. */
  type: string | null;
  title?: string;
  description?: string;
  required?: boolean;
  default?: Json;
  /** Folded away at first. */
  advanced?: boolean;
  /** Worked out only if the operation asks for it. */
  lazy?: boolean;
  /** Stands for any number of inputs: `value` for `value_1`, `value_what`, ... */
  many?: boolean;
  schema?: InputSchema;
}

export interface NodeType {
  /** `model:<name>`, `task:<task>`, `op:<name>`, `workflow:<name>@<version>`. */
  type: string;
  task?: string | null;
  title: string;
  description: string;
  category: string;
  tags: string[];
  inputs: Port[];
  outputs: Port[];
}

export function useNodeTypes() {
  return useQuery({
    queryKey: ["node-types"],
    queryFn: async () => (await unwrap(api.GET("/v1/node-types"))).data as unknown as NodeType[],
    staleTime: 60_000,
  });
}
