/** `/keys`: the keys of the project or tenant; make one, put another in its place, end it. */
import { useState } from "react";

import { useKeys } from "@/api/queries";
import { Answered } from "@/pages/frame/Answered";
import { PageFrame } from "@/pages/frame/PageFrame";
import { RequireSession } from "@/shell/RequireSession";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { EmptyState } from "@/ui/states";

import { KeyRows } from "./KeyRows";
import { NewKey } from "./NewKey";
import { Secret } from "./Secret";
import { type Key, stateOf } from "./state";

const WORDS = strings.keys;
/** How far the clocks of the page and the platform may be apart: what has just been revoked is revoked. */
const CLOCKS_MS = 5_000;

export default function KeysPage() {
  return (
    <RequireSession title={WORDS.title} text={WORDS.text} scope="keys">
      <Keys />
    </RequireSession>
  );
}

function Keys() {
  const keys = useKeys();
  const [isMaking, setMaking] = useState(false);
  // Lives in this view only: gone when it is closed.
  const [secret, setSecret] = useState<string | null>(null);
  const create = (
    <Button
      kind="primary"
      onClick={() => {
        setMaking(true);
      }}
    >
      {WORDS.create}
    </Button>
  );
  return (
    <PageFrame title={WORDS.title} text={WORDS.text} actions={create}>
      <Answered query={keys}>
        {({ data }) =>
          data.length === 0 ? (
            <EmptyState title={WORDS.empty} text={WORDS.emptyText} action={create} />
          ) : (
            <LiveAndEnded keys={data} now={keys.dataUpdatedAt + CLOCKS_MS} onSecret={setSecret} />
          )
        }
      </Answered>
      <NewKey
        open={isMaking}
        onClose={() => {
          setMaking(false);
        }}
        onSecret={setSecret}
      />
      <Secret
        secret={secret}
        onClose={() => {
          setSecret(null);
        }}
      />
    </PageFrame>
  );
}

interface LiveAndEndedProps {
  keys: Key[];
  now: number;
  onSecret: (secret: string) => void;
}

function LiveAndEnded({ keys, now, onSecret }: LiveAndEndedProps) {
  const live = keys.filter((key) => stateOf(key, now) === "live");
  const ended = keys.filter((key) => stateOf(key, now) !== "live");
  return (
    <>
      <KeyRows label={WORDS.title} keys={live} now={now} onSecret={onSecret} />
      {ended.length > 0 && (
        <details>
          <summary className="cursor-pointer text-muted hover:text-fg">{WORDS.showEnded(ended.length)}</summary>
          <KeyRows label={WORDS.showEnded(ended.length)} keys={ended} now={now} onSecret={onSecret} />
        </details>
      )}
    </>
  );
}
