/** For JavaScript in Node: fetch alone. Saved as a module (.mjs) it runs as it stands. */
import type { Json, Task } from "@/api/types";

import { hasPictures, javascript as literal } from "./literals";
import type { Call, Way } from "./snippets";

export function javascript({ origin, model, task, body }: Call, way: Way): string {
  const withPictures = hasPictures(body as unknown as Json);
  const saves = way !== "stream" && (task === "text_to_image" || task === "image_to_image");
  const files = [...(withPictures ? ["readFile"] : []), ...(saves ? ["writeFile"] : [])];
  const imports = files.length > 0 ? `import { ${files.join(", ")} } from "node:fs/promises";\n\n` : "";
  const reads = withPictures
    ? `const picture = async (path) => "data:image/png;base64," + (await readFile(path)).toString("base64");\n`
    : "";
  const wait =
    way === "sync" ? `"content-type": "application/json", prefer: "wait=60"` : `"content-type": "application/json"`;
  return `${imports}const platform = "${origin}";
const headers = { authorization: \`Bearer \${process.env.SLIPWAY_API_KEY}\` };
${reads}const body = ${literal(body as unknown as Json)};
const answer = await fetch(\`\${platform}/v1/models/${model}/runs\`, {
  method: "POST",
  headers: { ...headers, ${wait} },
  body: JSON.stringify(body),
});
if (!answer.ok) throw new Error(await answer.text());
${way === "async" ? "let" : "const"} run = await answer.json();
${AFTER[way]}${way === "stream" ? "" : saving(task)}`;
}

const AFTER: Record<Way, string> = {
  sync: "",
  async: `while (run.status === "queued" || run.status === "running") {
  await new Promise((resolve) => setTimeout(resolve, 500));
  run = await (await fetch(platform + run.urls.self, { headers })).json();
}
`,
  stream: `const events = await fetch(platform + run.urls.events, { headers });
let rest = "";
for await (const text of events.body.pipeThrough(new TextDecoderStream())) {
  const blocks = (rest + text).split("\\n\\n");
  rest = blocks.pop();
  for (const block of blocks) {
    const kind = /^event: (.*)$/m.exec(block)?.[1];
    const data = /^data: (.*)$/m.exec(block)?.[1];
    if (kind) console.log(kind, data.slice(0, 200));
  }
}
`,
};

function saving(task: Task): string {
  if (task !== "text_to_image" && task !== "image_to_image")
    return "console.log(run.status, run.output ?? run.error);\n";
  return `if (run.status !== "succeeded") throw new Error(JSON.stringify(run.error ?? run.status));
for (const { name, seed, asset } of run.output.artifacts) {
  const content = await fetch(\`\${platform}/v1/assets/\${asset.id}/content\`, { headers });
  await writeFile(name, Buffer.from(await content.arrayBuffer()));
  console.log(name, "seed", seed);
}
`;
}
