/** What a playground sends: the form's values as the body of a run, and a run's own values back into the form. */
import type { Adapter, Card, Json, Run, Task } from "@/api/types";
import { ADAPTERS, type FormField, fieldsOfCard, type Values } from "@/schema-form/fields";
import { adaptersOf, defaultsOf, givenOf } from "@/schema-form/values";

export interface RunBody {
  input: Values;
  task?: Task;
  adapters?: { name: string; scale?: number }[];
}

/** Unfinished pictures that the page asks for, of each picture: enough to see where it goes. */
const PREVIEWS = 4;

/** The fields of a task's form; adapters only for those who may use some. */
export function fieldsOfTask(card: Card, task: Task, withAdapters: boolean): FormField[] {
  return fieldsOfCard(card, task).filter((field) => withAdapters || field.name !== ADAPTERS);
}

/** Where a form begins: the defaults, with pictures on the way. */
export function beginningOf(fields: FormField[]): Values {
  const values = defaultsOf(fields);
  const previews = fields.find((field) => field.name === "previews");
  if (previews) values["previews"] = Math.min(PREVIEWS, previews.schema.maximum ?? PREVIEWS);
  return values;
}

/** The body of a run of `card`: the task is said where it is not the model's first. */
export function runBody(card: Card, task: Task, fields: FormField[], values: Values): RunBody {
  const body: RunBody = { input: givenOf(fields, values) };
  if (task !== card.tasks[0]) body.task = task;
  const adapters = adaptersOf(values);
  if (adapters.length > 0 && fields.some((field) => field.name === ADAPTERS)) body.adapters = adapters;
  return body;
}

/** The form as it was for `run`; its seed is given then, so that the same comes again. */
export function valuesOfRun(run: Pick<Run, "input" | "adapters">, fields: FormField[], known: Adapter[]): Values {
  const values = beginningOf(fields);
  for (const { name } of fields) if (name in run.input) values[name] = (run.input[name] ?? null) as Json;
  if (fields.some((field) => field.name === ADAPTERS))
    values[ADAPTERS] = run.adapters.map(({ id, scale }) => ({
      name: known.find((adapter) => adapter.id === id)?.address ?? id,
      scale,
    }));
  return values;
}

/** The field that an error of the API is about: `input.steps` is the form's `steps`. */
export function fieldOfParam(param: string | null, fields: FormField[]): string | null {
  if (param === null) return null;
  const name = param.replace(/^input\./, "");
  const first = name.split(".")[0] ?? name;
  if (first === ADAPTERS && name !== ADAPTERS) return name;
  return fields.some((field) => field.name === first) ? first : null;
}
