/** The call behind what one sees, to take along: curl, Python, JavaScript; whole or streamed. */
import { Code } from "lucide-react";
import { useState } from "react";

import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { CodeBlock } from "@/ui/code";
import { Dialog } from "@/ui/dialog";
import { Switch } from "@/ui/switch";
import { Tabs } from "@/ui/tabs";

import { type Body, type EndpointName, ENDPOINTS, type Language, snippet } from "./snippets";

const LANGUAGES: Language[] = ["curl", "python", "javascript"];

interface CodeProps {
  endpoint: EndpointName;
  body: () => Body;
}

/** The same, as a part of the page. */
export function CodePanel({ endpoint, body }: CodeProps) {
  const [isStream, setStream] = useState(true);
  const canStream = ENDPOINTS[endpoint].chunk !== null;
  return (
    <div className="flex flex-col gap-2">
      {canStream && <Switch label={strings.chat.streaming} checked={isStream} onChange={setStream} />}
      <Tabs
        label={strings.chat.language}
        tabs={LANGUAGES.map((language) => ({
          value: language,
          label: strings.chat.languages[language],
          content: (
            <CodeBlock
              code={snippet(language, endpoint, body(), window.location.origin, isStream)}
              label={strings.chat.codeOf(strings.chat.languages[language])}
            />
          ),
        }))}
      />
    </div>
  );
}

export function CodeButton({ endpoint, body }: CodeProps) {
  const [isOpen, setOpen] = useState(false);
  return (
    <>
      <Button
        onClick={() => {
          setOpen(true);
        }}
      >
        <Code size={14} aria-hidden /> {strings.chat.code}
      </Button>
      <Dialog
        open={isOpen}
        onClose={() => {
          setOpen(false);
        }}
        title={strings.chat.codeTitle}
        className="max-w-2xl"
      >
        <CodePanel endpoint={endpoint} body={body} />
      </Dialog>
    </>
  );
}
