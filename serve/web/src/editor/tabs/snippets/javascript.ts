/** Pure: the call in JavaScript, for Node 18 and later, and without any package. */
import type { Json } from "@/api/types";

import { EXAMPLE_HOOK } from "./curl";
import { asPart, isForm, type SnippetRequest, urlOf, type Way } from "./request";

export function javascriptOf(request: SnippetRequest, way: Way): string {
  const usesFiles = isForm(request) || (request.output?.file !== null && (way === "wait" || way === "poll"));
  return [
    ...(usesFiles ? ['import { readFile, writeFile } from "node:fs/promises";', ""] : []),
    `const origin = ${JSON.stringify(request.origin)};`,
    "const headers = { Authorization: `Bearer ${process.env.SLIPWAY_API_KEY}` };",
    ...bodyOf(request, way),
    ...callOf(request, way),
  ].join("\n");
}

function bodyOf(request: SnippetRequest, way: Way): string[] {
  const hook: Record<string, Json> = way === "webhook" ? { webhook: { url: EXAMPLE_HOOK } } : {};
  if (!isForm(request))
    return [
      'headers["Content-Type"] = "application/json";',
      `const body = JSON.stringify(${JSON.stringify({ input: request.values, ...hook })});`,
    ];
  const set = (name: string, value: string) => `body.set(${JSON.stringify(name)}, ${value});`;
  return [
    "const body = new FormData();",
    ...Object.entries(request.values).map(([name, value]) => set(name, JSON.stringify(asPart(value)))),
    ...Object.entries(request.files).map(([name, file]) => {
      const path = JSON.stringify(file);
      return `body.set(${JSON.stringify(name)}, new Blob([await readFile(${path})]), ${path});`;
    }),
    ...(way === "webhook" ? [set("_options", JSON.stringify(JSON.stringify(hook)))] : []),
  ];
}

function callOf(request: SnippetRequest, way: Way): string[] {
  const path = JSON.stringify(urlOf(request).slice(request.origin.length));
  const more = { wait: ', Prefer: "wait=60"', stream: ', Accept: "text/event-stream"', poll: "", webhook: "" }[way];
  const start = [
    `const answer = await fetch(origin + ${path}, { method: "POST", headers: { ...headers${more} }, body });`,
    "if (!answer.ok) throw new Error(await answer.text());",
  ];
  if (way === "stream") return [...start, ...STREAM];
  if (way === "webhook") return [...start, "console.log((await answer.json()).id);"];
  const wait =
    way === "poll"
      ? [
          'while (["queued", "running"].includes(run.status)) {',
          "  await new Promise((resolve) => setTimeout(resolve, 1000));",
          "  run = await (await fetch(origin + run.urls.self, { headers })).json();",
          "}",
        ]
      : [];
  const result = 'if (run.status !== "succeeded") throw new Error(JSON.stringify(run.error ?? run.status));';
  return [...start, "let run = await answer.json();", ...wait, result, ...saved(request)];
}

const STREAM = [
  'let rest = "";',
  "for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {",
  '  const blocks = (rest + piece).split("\\n\\n");',
  "  rest = blocks.pop();",
  "  for (const block of blocks) {",
  '    const read = (name) => block.split("\\n").find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);',
  '    if (read("data")) console.log(read("event"), JSON.parse(read("data")));',
  "  }",
  "}",
];

function saved({ output }: SnippetRequest): string[] {
  if (output === null) return ["console.log(run.output);"];
  const value = `run.output[${JSON.stringify(output.name)}]`;
  if (output.file === null) return [`console.log(${value});`];
  const [stem, ending] = output.file.split(".");
  const many = "`" + `${stem ?? ""}-\${number}.${ending ?? ""}` + "`";
  return [
    `for (const [number, one] of [${value}].flat().entries()) {`,
    "  const file = await fetch(origin + one.asset.url, { headers });",
    `  await writeFile(${output.isList ? many : JSON.stringify(output.file)}, Buffer.from(await file.arrayBuffer()));`,
    "}",
  ];
}

/** What receives the webhook: the signature is checked before anything is believed. */
export const JAVASCRIPT_RECEIVER = `// SLIPWAY_WEBHOOK_SECRET is what GET /v1/webhooks/secret answers
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const key = Buffer.from(process.env.SLIPWAY_WEBHOOK_SECRET.replace("whsec_", ""), "base64");

createServer(async (request, response) => {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  const body = Buffer.concat(pieces);
  const { "webhook-id": id, "webhook-timestamp": moment, "webhook-signature": given = "" } = request.headers;
  const wanted = Buffer.from("v1," + createHmac("sha256", key).update(\`\${id}.\${moment}.\`).update(body).digest("base64"));
  const isWanted = (one) => one.length === wanted.length && timingSafeEqual(one, wanted);
  const isOurs = given.split(" ").some((one) => isWanted(Buffer.from(one)));
  const isRecent = Math.abs(Date.now() / 1000 - Number(moment)) < 300;
  response.writeHead(isOurs && isRecent ? 204 : 401).end();
  if (isOurs && isRecent) console.log(JSON.parse(body));
}).listen(8080);
`;
