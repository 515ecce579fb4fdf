/** Edits of everything that a node is given. */
import { clearInput } from "@/editor/core/nodes";
import { type Edit, nodeOf } from "@/editor/core/types";
import { isWritten } from "@/editor/core/values";
import type { Json } from "@/api/types";

/** Every value that is written down goes; links and inputs of the workflow stay. */
export function clearAllInputs(name: string): Edit {
  return (doc) =>
    Object.entries(nodeOf(doc, name)?.inputs ?? {})
      .filter(([, value]) => isWritten(value as Json))
      .reduce((next, [port]) => clearInput(name, port)(next), doc);
}
