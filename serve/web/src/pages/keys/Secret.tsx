/** A new key, this once. It is kept nowhere: closing this forgets it. */
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { CodeBlock } from "@/ui/code";
import { Dialog } from "@/ui/dialog";

const WORDS = strings.keys.shown;

export function Secret({ secret, onClose }: { secret: string | null; onClose: () => void }) {
  return (
    <Dialog
      open={secret !== null}
      onClose={onClose}
      title={WORDS.title}
      footer={
        <Button kind="primary" onClick={onClose}>
          {WORDS.done}
        </Button>
      }
    >
      {secret !== null && (
        <div className="flex flex-col gap-3">
          <p>{WORDS.text}</p>
          <CodeBlock code={secret} label={WORDS.title} />
          <p className="text-sm text-muted">{WORDS.use}</p>
          <CodeBlock
            code={`curl ${location.origin}/v1/models -H "Authorization: Bearer ${secret}"`}
            label={WORDS.use}
          />
        </div>
      )}
    </Dialog>
  );
}
