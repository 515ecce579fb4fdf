/** What a model wrote: text as text, and code between fences as code. Nothing of it is ever markup. */
import { memo } from "react";

import { strings } from "@/strings";
import { CodeBlock } from "@/ui/code";

import { segmentsOf } from "./answers";

export const AnswerText = memo(function AnswerText({ text }: { text: string }) {
  return (
    <div className="flex flex-col gap-2">
      {segmentsOf(text).map(({ kind, text: part, language }, index) =>
        kind === "code" ? (
          <CodeBlock key={index} code={part} label={strings.chat.codeOf(language || strings.chat.code)} />
        ) : (
          <p key={index} className="whitespace-pre-wrap">
            {part.replace(/^\n+|\n+$/g, "")}
          </p>
        ),
      )}
    </div>
  );
});
