/** For Python with httpx: the platform's own routes. */
import type { Json, Task } from "@/api/types";

import { hasPictures, python } from "./literals";
import type { Call, Way } from "./snippets";

const PICTURE = `

def picture(path):
    return "data:image/png;base64," + base64.b64encode(open(path, "rb").read()).decode()

`;

export function httpx({ origin, model, task, body }: Call, way: Way): string {
  const withPictures = hasPictures(body as unknown as Json);
  const modules = [...(withPictures ? ["base64"] : []), ...(way === "stream" ? ["json"] : []), "os"];
  if (way === "async") modules.push("time");
  const imports = modules.map((name) => `import ${name}\n`).join("");
  const written = python(body as unknown as Json);
  return `${imports}
import httpx
${withPictures ? PICTURE : ""}
client = httpx.Client(
    base_url="${origin}",
    headers={"Authorization": "Bearer " + os.environ["SLIPWAY_API_KEY"]},
    timeout=90,
)
body = ${written}
${CALLS[way](model)}${way === "stream" ? "" : saving(task)}`;
}

const CALLS: Record<Way, (model: string) => string> = {
  sync: (model) => `run = client.post("/v1/models/${model}/runs", json=body, headers={"Prefer": "wait=60"})
run.raise_for_status()
run = run.json()
`,
  async: (model) => `run = client.post("/v1/models/${model}/runs", json=body)
run.raise_for_status()
run = run.json()
while run["status"] in ("queued", "running"):
    time.sleep(0.5)
    run = client.get(run["urls"]["self"]).json()
`,
  stream: (model) => `run = client.post("/v1/models/${model}/runs", json=body)
run.raise_for_status()
with client.stream("GET", run.json()["urls"]["events"]) as events:
    kind = ""
    for line in events.iter_lines():
        if line.startswith("event: "):
            kind = line.removeprefix("event: ")
        elif line.startswith("data: "):
            data = json.loads(line.removeprefix("data: "))
            print(kind, {name: value for name, value in data.items() if name != "data"})
`,
};

/** What to do with the answer: pictures are files of their own. */
function saving(task: Task): string {
  if (task !== "text_to_image" && task !== "image_to_image")
    return `print(run["status"], run["output"] or run["error"])\n`;
  return `if run["status"] != "succeeded":
    raise SystemExit(run["error"] or run["status"])
for made in run["output"]["artifacts"]:
    content = client.get(f"/v1/assets/{made['asset']['id']}/content").content
    with open(made["name"], "wb") as file:
        file.write(content)
    print(made["name"], "seed", made["seed"])
`;
}
