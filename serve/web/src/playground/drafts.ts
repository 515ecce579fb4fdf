/** What a form holds, kept while its tab is open: a reload changes nothing. Pictures' bytes are too large for it. */
import type { Task } from "@/api/types";
import type { Values } from "@/schema-form/fields";

import { withoutBytes } from "./history";

const PREFIX = "slipway.playground.draft.";

export function draftOf(model: string, task: Task): Values {
  try {
    return JSON.parse(sessionStorage.getItem(`${PREFIX}${model}.${task}`) ?? "{}") as Values;
  } catch {
    return {};
  }
}

export function keepDraft(model: string, task: Task, values: Values): void {
  try {
    sessionStorage.setItem(`${PREFIX}${model}.${task}`, JSON.stringify(withoutBytes(values)));
  } catch {
    // Without storage a reload begins anew.
  }
}
