/** Code that people take along: shown as it is, copied whole. */
import { Check, Copy } from "lucide-react";
import { useState } from "react";

import { strings } from "@/strings";

import { IconButton } from "./button";
import { toast } from "./toast";

export function CopyButton({ text, label = strings.shell.copy }: { text: string; label?: string }) {
  const [isCopied, setCopied] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Over plain HTTP browsers have no clipboard for pages.
      toast(strings.shell.copyRefused, "bad");
      return;
    }
    setCopied(true);
    setTimeout(() => {
      setCopied(false);
    }, 1500);
  };
  return (
    <IconButton label={isCopied ? strings.shell.copied : label} onClick={() => void copy()}>
      {isCopied ? <Check size={14} aria-hidden /> : <Copy size={14} aria-hidden />}
    </IconButton>
  );
}

/** It scrolls sideways, so the keyboard must reach it. */
const SCROLLING = { tabIndex: 0, role: "region" } as const;

export function CodeBlock({ code, label }: { code: string; label: string }) {
  return (
    <div className="relative rounded-md border border-line bg-bg">
      <div className="absolute top-1 right-1 rounded-sm bg-bg">
        <CopyButton text={code} />
      </div>
      <pre {...SCROLLING} aria-label={label} className="overflow-x-auto p-3 pr-10 font-mono text-sm whitespace-pre">
        {code}
      </pre>
    </div>
  );
}
