/** For Python with OpenAI's client: its own routes where it has one for the task, and runs through it. */
import type { Json } from "@/api/types";
import type { Values } from "@/schema-form/fields";

import { fileOf, hasPictures, isPicture, python } from "./literals";
import type { Call, Way } from "./snippets";

/** Arguments that the client has itself; everything else goes into `extra_body`. */
const OWN = ["prompt", "n", "size", "output_format"];
const METHODS: Partial<Record<Call["task"], string>> = {
  text_to_image: "images.generate",
  image_to_image: "images.edit",
};

export function openai(call: Call, way: Way): string {
  return way === "async" || METHODS[call.task] === undefined ? asRun(call) : asCall(call, way === "stream");
}

function asCall(call: Call, streams: boolean): string {
  const given = argumentsOf(call, streams);
  const fetches = given.some((line) => line.includes("httpx."));
  return `import base64
import os

${fetches ? "import httpx\n" : ""}from openai import OpenAI

client = OpenAI(base_url="${call.origin}/v1", api_key=os.environ["SLIPWAY_API_KEY"])
answer = client.${METHODS[call.task] ?? ""}(
${given.map((line) => `    ${line},\n`).join("")})
${streams ? STREAMED : WHOLE}`;
}

const SAVED = (index: string, image: string) => `    with open(f"image-{${index}}.png", "wb") as file:
        file.write(base64.b64decode(${image}))
`;
const WHOLE = `for index, image in enumerate(answer.data):\n${SAVED("index", "image.b64_json")}`;
const STREAMED = `for number, event in enumerate(answer):\n    print(event.type)\n${SAVED("number", "event.b64_json")}`;

function argumentsOf(call: Call, streams: boolean): string[] {
  const own: string[] = [`model=${JSON.stringify(call.model)}`];
  const extra: Values = {};
  for (const [name, value] of Object.entries(inOpenAiWords(call.body.input))) {
    if (name === "image" || name === "mask") own.push(`${name}=${fileArgument(name, value)}`);
    else if (OWN.includes(name)) own.push(`${name}=${python(value, 1)}`);
    else extra[name] = value;
  }
  own.push(...(streams ? ["stream=True", "partial_images=2"] : [`response_format="b64_json"`]));
  if (call.body.adapters) extra["adapters"] = call.body.adapters as unknown as Json;
  if (Object.keys(extra).length > 0) own.push(`extra_body=${python(extra, 1)}`);
  return own;
}

/** Our names for what OpenAI calls otherwise; previews exist in its streams alone. */
function inOpenAiWords(input: Values): Values {
  const { num_images: count, width, height, quality, previews: _previews, ...rest } = input;
  const told: Values = { ...rest };
  if (count !== undefined) told["n"] = count;
  if (width !== undefined || height !== undefined)
    told["size"] = `${String(width ?? height)}x${String(height ?? width)}`;
  if (quality !== undefined) told["output_compression"] = quality;
  return told;
}

/** The form takes files: the reader's own, or what the platform or another server has. */
function fileArgument(name: string, value: Json): string {
  if (isPicture(value)) return `open(${JSON.stringify(fileOf(name))}, "rb")`;
  const source = String(value);
  const bytes = source.startsWith("asset:")
    ? `client.get(${JSON.stringify(`/assets/${source.slice(6)}/content`)}, cast_to=httpx.Response).content`
    : `httpx.get(${JSON.stringify(source)}).content`;
  return `(${JSON.stringify(fileOf(name))}, ${bytes})`;
}

function asRun({ origin, model, body }: Call): string {
  const withPictures = hasPictures(body as unknown as Json);
  const helper = `

def picture(path):
    return "data:image/png;base64," + base64.b64encode(open(path, "rb").read()).decode()

`;
  return `${withPictures ? "import base64\n" : ""}import os
import time

import httpx
from openai import OpenAI
${withPictures ? helper : ""}
client = OpenAI(base_url="${origin}/v1", api_key=os.environ["SLIPWAY_API_KEY"])
body = ${python(body as unknown as Json)}
run = client.post("/models/${model}/runs", cast_to=httpx.Response, body=body).json()
while run["status"] in ("queued", "running"):
    time.sleep(0.5)
    run = client.get(f"/runs/{run['id']}", cast_to=httpx.Response).json()
print(run["status"], run["output"] or run["error"])
`;
}
