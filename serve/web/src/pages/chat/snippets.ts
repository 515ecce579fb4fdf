/** The same call as programs write it. The key is never in it: it comes out of the environment. */
import type { Json } from "@/api/types";
import { pythonic, quoted } from "@/snippets/literals";

export type Language = "curl" | "python" | "javascript";
export type Body = Record<string, Json>;

interface Endpoint {
  path: string;
  /** Of the `openai` clients. */
  method: string;
  /** How a streamed chunk's text and a whole answer are read, in Python and in JavaScript. */
  chunk: { python: string; javascript: string } | null;
  whole: { python: string; javascript: string };
}

export const ENDPOINTS = {
  chat: {
    path: "/v1/chat/completions",
    method: "chat.completions",
    chunk: { python: 'chunk.choices[0].delta.content or ""', javascript: 'chunk.choices[0].delta.content ?? ""' },
    whole: { python: "answer.choices[0].message.content", javascript: "answer.choices[0].message.content" },
  },
  completion: {
    path: "/v1/completions",
    method: "completions",
    chunk: { python: "chunk.choices[0].text", javascript: "chunk.choices[0].text" },
    whole: { python: "answer.choices[0].text", javascript: "answer.choices[0].text" },
  },
  embedding: {
    path: "/v1/embeddings",
    method: "embeddings",
    chunk: null,
    whole: {
      python: "[len(one.embedding) for one in answer.data]",
      javascript: "answer.data.map((one) => one.embedding.length)",
    },
  },
} satisfies Record<string, Endpoint>;

export type EndpointName = keyof typeof ENDPOINTS;

/** `body` as a call of `endpoint` at `origin`. Names that the `openai` client does not know go by `extra_body`. */
export function snippet(
  language: Language,
  endpoint: EndpointName,
  body: Body,
  origin: string,
  stream: boolean,
): string {
  const told: Endpoint = ENDPOINTS[endpoint];
  const streams = stream && told.chunk !== null;
  if (language === "curl") return curl(told, streams ? { ...body, stream: true } : body, origin, streams);
  return language === "python" ? python(told, body, origin, streams) : javascript(told, body, origin, streams);
}

function curl({ path }: Endpoint, body: Body, origin: string, streams: boolean): string {
  const json = quoted(JSON.stringify(body, null, 2));
  return [
    `curl ${streams ? "-N " : ""}${origin}${path} \\`,
    `  -H "Authorization: Bearer $SLIPWAY_API_KEY" \\`,
    `  -H "Content-Type: application/json" \\`,
    `  -d ${json}`,
  ].join("\n");
}

/** Parameters of ours and vLLM's that OpenAI's API has not. */
const EXTRA = new Set(["top_k", "min_p", "repetition_penalty", "adapters"]);

function python(endpoint: Endpoint, body: Body, origin: string, streams: boolean): string {
  const own = Object.entries(body).filter(([name]) => !EXTRA.has(name));
  const extra = Object.entries(body).filter(([name]) => EXTRA.has(name));
  const given = own.map(([name, value]) => `    ${name}=${pythonic(value)},`);
  if (extra.length > 0) given.push(`    extra_body=${pythonic(Object.fromEntries(extra))},`);
  if (streams) given.push("    stream=True,");
  const call = [`client.${endpoint.method}.create(`, ...given, ")"].join("\n");
  const rest = streams
    ? [
        `stream = ${call}`,
        "for chunk in stream:",
        "    if chunk.choices:",
        `        print(${endpoint.chunk?.python ?? ""}, end="", flush=True)`,
      ]
    : [`answer = ${call}`, `print(${endpoint.whole.python})`];
  return [
    "import os",
    "",
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url="${origin}/v1", api_key=os.environ["SLIPWAY_API_KEY"])`,
    "",
    ...rest,
  ].join("\n");
}

function javascript(endpoint: Endpoint, body: Body, origin: string, streams: boolean): string {
  const json = JSON.stringify(streams ? { ...body, stream: true } : body, null, 2);
  const call = `await client.${endpoint.method}.create(${json});`;
  const rest = streams
    ? [
        `const stream = ${call}`,
        "for await (const chunk of stream) {",
        `  if (chunk.choices.length > 0) process.stdout.write(${endpoint.chunk?.javascript ?? ""});`,
        "}",
      ]
    : [`const answer = ${call}`, `console.log(${endpoint.whole.javascript});`];
  return [
    'import OpenAI from "openai";',
    "",
    `const client = new OpenAI({ baseURL: "${origin}/v1", apiKey: process.env.SLIPWAY_API_KEY });`,
    "",
    ...rest,
  ].join("\n");
}
