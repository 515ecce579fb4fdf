/** Pure: the snippets of the API tab, by language and way of waiting. */
import { curlOf } from "./curl";
import { JAVASCRIPT_RECEIVER, javascriptOf } from "./javascript";
import { httpxOf, plainPythonOf, PYTHON_RECEIVER } from "./python";
import type { Language, SnippetRequest, Way } from "./request";

const WRITERS: Record<Language, (request: SnippetRequest, way: Way) => string> = {
  curl: curlOf,
  python: httpxOf,
  pythonPlain: plainPythonOf,
  javascript: javascriptOf,
};

export function snippetOf(request: SnippetRequest, language: Language, way: Way): string {
  return `${WRITERS[language](request, way).trimEnd()}\n`;
}

/** What receives a webhook, in the language that is nearest. */
export function receiverOf(language: Language): string {
  return language === "javascript" ? JAVASCRIPT_RECEIVER : PYTHON_RECEIVER;
}
