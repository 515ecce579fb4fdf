/** What went into a run and what came out of it: pictures as pictures, words as words, the rest as JSON. */
import { isLive } from "@/api/runs";
import type { Run } from "@/api/types";
import { assetUrl } from "@/media/assets";
import { strings } from "@/strings";
import { classes } from "@/ui/classes";
import { CodeBlock } from "@/ui/code";

import { assetsWithin, isPicture, type MadeAsset } from "./facts";

const WORDS = strings.runs;
const LONGEST = 20_000;

export function RunOutput({ run }: { run: Run }) {
  if (run.output === null) return <p className="text-muted">{isLive(run) ? WORDS.noOutput : WORDS.noOutputEnded}</p>;
  if (run.kind === "workflow") return <NamedValues values={run.output} />;
  const { text, document: stowed } = run.output as { text?: unknown; document?: { id?: unknown } };
  const assets = assetsWithin(run.output);
  if (typeof text === "string") return <Words text={text} />;
  if (typeof stowed?.id === "string") return <Stowed id={stowed.id} />;
  if (assets.length > 0) return <Assets assets={assets} />;
  return <NamedValues values={run.output} />;
}

export function RunInput({ run }: { run: Run }) {
  return (
    <>
      <NamedValues values={run.input} />
      {run.adapters.length > 0 && (
        <dl>
          <dt className="text-sm text-faint">{WORDS.adapters}</dt>
          {run.adapters.map(({ id, scale }) => (
            <dd key={id}>
              {id.split("@")[0]} <span className="text-muted">{WORDS.scale(scale)}</span>
            </dd>
          ))}
        </dl>
      )}
    </>
  );
}

/** By name; what is null was not given. */
function NamedValues({ values }: { values: Record<string, unknown> }) {
  const given = Object.entries(values).filter(([, value]) => value !== null && value !== "");
  return (
    <dl className="grid grid-cols-[repeat(auto-fill,minmax(110px,1fr))] gap-x-4 gap-y-3">
      {given.map(([name, value]) => (
        <div key={name} className={classes("min-w-0", !isShort(value) && "col-span-full")}>
          <dt className="text-sm text-faint">{name.replaceAll("_", " ")}</dt>
          <dd>
            <Value name={name} value={value} />
          </dd>
        </div>
      ))}
    </dl>
  );
}

function Value({ name, value }: { name: string; value: unknown }) {
  if (typeof value === "string")
    return value.startsWith("asset:") ? <Given reference={value} /> : <Words text={value} />;
  if (typeof value === "number") return value;
  if (typeof value === "boolean") return value ? WORDS.yes : WORDS.no;
  const assets = assetsWithin(value);
  if (assets.length > 0) return <Assets assets={assets} />;
  if (areMessages(value)) return <Messages messages={value} />;
  if (isNumbers(value)) return <span className="text-muted">{WORDS.numbers(value.length)}</span>;
  return <CodeBlock code={cut(JSON.stringify(value, null, 2))} label={name} />;
}

/** Whether several fit beside one another. */
function isShort(value: unknown): boolean {
  if (typeof value === "string") return value.length <= 12 && !value.startsWith("asset:");
  return typeof value === "number" || typeof value === "boolean";
}

function isNumbers(value: unknown): value is number[] {
  return Array.isArray(value) && value.length > 16 && value.every((one) => typeof one === "number");
}

interface Message {
  role: string;
  content: string;
}

function areMessages(value: unknown): value is Message[] {
  const isMessage = (one: Partial<Message> | null) => typeof one?.role === "string" && typeof one.content === "string";
  return Array.isArray(value) && value.length > 0 && value.every(isMessage);
}

function Messages({ messages }: { messages: Message[] }) {
  return (
    <ol className="flex flex-col gap-2">
      {messages.map(({ role, content }, index) => (
        <li key={index}>
          <span className="text-sm text-muted">{role}</span>
          <Words text={content} />
        </li>
      ))}
    </ol>
  );
}

function cut(text: string): string {
  return text.length <= LONGEST ? text : `${text.slice(0, LONGEST)}\n…`;
}

function Words({ text }: { text: string }) {
  return <p className="max-w-[72ch] whitespace-pre-wrap">{cut(text)}</p>;
}

/** A picture that was given by its asset. Whether it is one is only known when it has come. */
function Given({ reference }: { reference: string }) {
  const id = reference.slice("asset:".length);
  return (
    <a href={assetUrl(id)} target="_blank" rel="noreferrer" className="inline-block">
      <img
        src={assetUrl(id)}
        alt={reference}
        loading="lazy"
        className="max-h-40 max-w-full rounded-sm border border-line"
      />
    </a>
  );
}

function Stowed({ id }: { id: string }) {
  return (
    <p>
      {WORDS.stowed}{" "}
      <a href={assetUrl(id)} download className="text-accent underline">
        {WORDS.download}
      </a>
    </p>
  );
}

function Assets({ assets }: { assets: MadeAsset[] }) {
  return (
    <ul
      className={classes(
        "grid gap-3",
        assets.length === 1 ? "max-w-md" : "grid-cols-[repeat(auto-fill,minmax(min(200px,100%),1fr))]",
      )}
    >
      {assets.map((asset, index) => (
        <li key={asset.id} className="min-w-0">
          {isPicture(asset) ? (
            <Picture asset={asset} index={index} />
          ) : (
            <a href={assetUrl(asset.id)} download={asset.name ?? ""} className="text-accent underline">
              {asset.name ?? WORDS.download}
            </a>
          )}
        </li>
      ))}
    </ul>
  );
}

function Picture({ asset, index }: { asset: MadeAsset; index: number }) {
  const facts = [
    asset.width !== null && asset.height !== null && strings.forms.pixels(asset.width, asset.height),
    asset.seed !== null && WORDS.seed(asset.seed),
  ].filter((fact) => fact !== false);
  return (
    <figure>
      <a href={assetUrl(asset.id)} target="_blank" rel="noreferrer" className="block">
        <img
          src={assetUrl(asset.id)}
          alt={WORDS.picture(index + 1)}
          width={asset.width ?? undefined}
          height={asset.height ?? undefined}
          className="h-auto w-full rounded-sm border border-line bg-surface"
        />
      </a>
      <figcaption className="mt-1 text-sm text-muted">{facts.join(" · ")}</figcaption>
    </figure>
  );
}
