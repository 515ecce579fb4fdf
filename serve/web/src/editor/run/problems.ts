/** What an error of the API says of nodes and fields. */
import type { ApiError } from "@/api/errors";
import type { Problem } from "@/api/types";

/** The problems that keep a workflow from running; none where the error is about something else. */
export function problemsOf(error: ApiError | null): Problem[] {
  const told = error?.details["problems"];
  return Array.isArray(told) ? (told as Problem[]) : [];
}

/** Errors by the workflow's input: `input.photo.0` is about `photo`. */
export function inputErrors(error: ApiError | null, names: readonly string[]): Record<string, string> {
  const parts = (error?.param ?? "").split(".");
  const name = parts[0] === "input" ? parts[1] : parts[0];
  return error !== null && name !== undefined && names.includes(name) ? { [name]: error.message } : {};
}
