/** Pure: the call in Python, with httpx, and with nothing but the standard library. */
import type { Json } from "@/api/types";
import { pythonic } from "@/snippets/literals";

import { EXAMPLE_HOOK } from "./curl";
import { asPart, isForm, type SnippetRequest, urlOf, type Way } from "./request";

const RESULT = 'if run["status"] != "succeeded":\n    raise SystemExit(run["error"] or run["status"])';

/** With httpx, which has to be installed. */
export function httpxOf(request: SnippetRequest, way: Way): string {
  const head = ["import os", ...(way === "poll" ? ["import time"] : []), ...(way === "stream" ? ["import json"] : [])];
  const client = [
    "client = httpx.Client(",
    `    base_url=${JSON.stringify(request.origin)},`,
    `    headers={"Authorization": f"Bearer {os.environ['SLIPWAY_API_KEY']}"},`,
    "    timeout=90,",
    ")",
  ];
  return [...head.sort(), "", "import httpx", "", ...client, ...httpxCall(request, way)].join("\n");
}

function httpxCall(request: SnippetRequest, way: Way): string[] {
  const path = JSON.stringify(urlOf(request).slice(request.origin.length));
  const body = httpxBody(request, way);
  if (way === "stream") return httpxStream(path, body);
  const prefer = way === "wait" ? ', headers={"Prefer": "wait=60"}' : "";
  const start = [`answer = client.post(${path}, ${body}${prefer})`, "answer.raise_for_status()", "run = answer.json()"];
  if (way === "webhook") return [...start, 'print(run["id"])'];
  const wait =
    way === "poll"
      ? [
          'while run["status"] in ("queued", "running"):',
          "    time.sleep(1)",
          '    run = client.get(run["urls"]["self"]).raise_for_status().json()',
        ]
      : [];
  return [...start, ...wait, RESULT, ...saved(request, "client.get({url}).raise_for_status().content")];
}

function httpxBody(request: SnippetRequest, way: Way): string {
  const hook: Record<string, Json> = way === "webhook" ? { webhook: { url: EXAMPLE_HOOK } } : {};
  if (!isForm(request)) return `json=${pythonic({ input: request.values, ...hook })}`;
  const parts = Object.fromEntries(Object.entries(request.values).map(([name, value]) => [name, asPart(value)]));
  const data = way === "webhook" ? { ...parts, _options: JSON.stringify(hook) } : parts;
  const files = Object.entries(request.files).map(
    ([name, file]) => `${JSON.stringify(name)}: open(${JSON.stringify(file)}, "rb")`,
  );
  return `data=${pythonic(data)}, files={${files.join(", ")}}`;
}

function httpxStream(path: string, body: string): string[] {
  return [
    `with client.stream("POST", ${path}, ${body}, headers={"Accept": "text/event-stream"}) as answer:`,
    "    answer.raise_for_status()",
    '    event = ""',
    "    for line in answer.iter_lines():",
    '        if line.startswith("event: "):',
    '            event = line.removeprefix("event: ")',
    '        elif line.startswith("data: "):',
    '            print(event, json.loads(line.removeprefix("data: ")))',
  ];
}

/** What is done with the first output: a file is saved, anything else printed. */
function saved({ output }: SnippetRequest, read: string): string[] {
  if (output === null) return ['print(run["output"])'];
  const value = `run["output"][${JSON.stringify(output.name)}]`;
  if (output.file === null) return [`print(${value})`];
  const content = read.replace("{url}", 'one["asset"]["url"]');
  if (!output.isList)
    return [`one = ${value}`, `with open(${JSON.stringify(output.file)}, "wb") as file:`, `    file.write(${content})`];
  const [stem, ending] = output.file.split(".");
  return [
    `for number, one in enumerate(${value}):`,
    `    with open(f"${stem ?? ""}-{number}.${ending ?? ""}", "wb") as file:`,
    `        file.write(${content})`,
  ];
}

/** With the standard library alone. Files are sent as data: addresses, for it writes no forms. */
export function plainPythonOf(request: SnippetRequest, way: Way): string {
  const imports = ["import json", "import os", "import urllib.request"];
  if (isForm(request)) imports.unshift("import base64");
  if (way === "poll") imports.splice(-1, 0, "import time");
  const stream = way === "stream" ? ', "Accept": "text/event-stream"' : "";
  const prefer = way === "wait" ? ', "Prefer": "wait=60"' : "";
  const hook: Record<string, Json> = way === "webhook" ? { webhook: { url: EXAMPLE_HOOK } } : {};
  const opened = [
    "def opened(path, body=None):",
    `    headers = {"Authorization": f"Bearer {os.environ['SLIPWAY_API_KEY']}", "Content-Type": "application/json"${stream}${prefer}}`,
    "    data = None if body is None else json.dumps(body).encode()",
    `    request = urllib.request.Request(${JSON.stringify(request.origin)} + path, data, headers)`,
    "    return urllib.request.urlopen(request, timeout=90)",
  ];
  const sent = [
    `body = ${pythonic({ input: request.values, ...hook })}`,
    ...Object.entries(request.files).flatMap(([name, file]) => [
      `with open(${JSON.stringify(file)}, "rb") as file:`,
      `    body["input"][${JSON.stringify(name)}] = "data:${mediaTypeOf(file)};base64," + base64.b64encode(file.read()).decode()`,
    ]),
  ];
  return [...imports, "", "", ...opened, "", "", ...sent, ...plainCall(request, way)].join("\n");
}

function plainCall(request: SnippetRequest, way: Way): string[] {
  const path = JSON.stringify(urlOf(request).slice(request.origin.length));
  if (way === "stream")
    return [
      `with opened(${path}, body) as answer:`,
      '    event = ""',
      "    for raw in answer:",
      "        line = raw.decode().rstrip()",
      '        if line.startswith("event: "):',
      '            event = line.removeprefix("event: ")',
      '        elif line.startswith("data: "):',
      '            print(event, json.loads(line.removeprefix("data: ")))',
    ];
  const start = [`with opened(${path}, body) as answer:`, "    run = json.load(answer)"];
  if (way === "webhook") return [...start, 'print(run["id"])'];
  const wait =
    way === "poll"
      ? [
          'while run["status"] in ("queued", "running"):',
          "    time.sleep(1)",
          '    with opened(run["urls"]["self"]) as answer:',
          "        run = json.load(answer)",
        ]
      : [];
  return [...start, ...wait, RESULT, ...saved(request, "opened({url}).read()")];
}

const MEDIA_TYPES: Record<string, string> = { png: "image/png", wav: "audio/wav", mp4: "video/mp4" };

function mediaTypeOf(file: string): string {
  return MEDIA_TYPES[file.split(".").at(-1) ?? ""] ?? "application/octet-stream";
}

/** What receives the webhook: the signature is checked before anything is believed. */
export const PYTHON_RECEIVER = `# pip install fastapi uvicorn; SLIPWAY_WEBHOOK_SECRET is what GET /v1/webhooks/secret answers
import base64
import hashlib
import hmac
import os
import time

from fastapi import FastAPI, HTTPException, Request

app = FastAPI()
key = base64.b64decode(os.environ["SLIPWAY_WEBHOOK_SECRET"].removeprefix("whsec_"))


@app.post("/slipway")
async def news(request: Request):
    body, moment = await request.body(), request.headers["webhook-timestamp"]
    signed = request.headers["webhook-id"].encode() + b"." + moment.encode() + b"." + body
    wanted = b"v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    given = request.headers["webhook-signature"].encode().split(b" ")
    if abs(time.time() - int(moment)) > 300 or not any(hmac.compare_digest(wanted, one) for one in given):
        raise HTTPException(401)
    print(await request.json())
`;
