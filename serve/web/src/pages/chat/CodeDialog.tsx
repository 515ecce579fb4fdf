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

export function CodeButton({ endpoint, body }: { endpoint: EndpointName; body: () => Body }) {
  const [isOpen, setOpen] = useState(false);
  const [isStream, setStream] = useState(true);
  const canStream = ENDPOINTS[endpoint].chunk !== null;
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
      </Dialog>
    </>
  );
}
