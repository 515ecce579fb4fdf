/** The API's own words, by their names in its OpenAPI document: nothing here is written by hand. */
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];
export type Paths = paths;

export type Card = Schemas["CardView"];
export type Me = Schemas["MeView"];
export type Run = Schemas["RunView"];
export type RunStatus = Schemas["RunStatus"];
export type Step = Schemas["StepView"];
export type Cost = Schemas["CostView"];
export type Adapter = Schemas["AdapterView"];
export type Workflow = Schemas["WorkflowView"];
export type WorkflowDocument = Schemas["WorkflowDocument"];
export type WorkflowSpec = Schemas["WorkflowSpec"];
export type NodeSpec = Schemas["NodeSpec"];
export type Problem = Schemas["ProblemView"];
export type Task = Schemas["Task"];
export type Modality = Schemas["Modality"];
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** A JSON schema, as cards and node types have them for one input. */
export interface InputSchema {
  type?: string | string[];
  title?: string;
  description?: string;
  default?: Json;
  enum?: Json[];
  const?: Json;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  multipleOf?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  items?: InputSchema;
  anyOf?: InputSchema[];
  properties?: Record<string, InputSchema>;
  format?: string;
  [extension: `x-${string}`]: unknown;
}
