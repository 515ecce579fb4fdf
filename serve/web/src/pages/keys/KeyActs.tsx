/** What can be done with a live key: put another in its place, or end it. */
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { Confirm } from "@/pages/frame/Confirm";
import { useForgetSession, useSession } from "@/shell/session";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { Select } from "@/ui/fields";
import { Switch } from "@/ui/switch";
import { toast } from "@/ui/toast";

import { revokeKey, rotateKey } from "./queries";
import { type Key, stateOf } from "./state";

const WORDS = strings.keys;

interface KeyActsProps {
  keyView: Key;
  now: number;
  onSecret: (secret: string) => void;
}

export function KeyActs({ keyView, now, onSecret }: KeyActsProps) {
  const [asking, setAsking] = useState<"rotate" | "revoke" | null>(null);
  if (stateOf(keyView, now) !== "live") return null;
  const close = () => {
    setAsking(null);
  };
  return (
    <>
      {keyView.replaced_by === null && (
        <Button
          kind="quiet"
          onClick={() => {
            setAsking("rotate");
          }}
        >
          {WORDS.rotate}
        </Button>
      )}
      <Button
        kind="quiet"
        className="text-bad!"
        onClick={() => {
          setAsking("revoke");
        }}
      >
        {WORDS.revoke}
      </Button>
      <Rotate keyView={keyView} open={asking === "rotate"} onClose={close} onSecret={onSecret} />
      <Revoke keyView={keyView} open={asking === "revoke"} onClose={close} />
    </>
  );
}

interface ActProps {
  keyView: Key;
  open: boolean;
  onClose: () => void;
}

function Rotate({ keyView, open, onClose, onSecret }: ActProps & { onSecret: (secret: string) => void }) {
  const queries = useQueryClient();
  const [grace, setGrace] = useState("3600");
  const rotate = async () => {
    const { key } = await rotateKey(keyView, Number(grace));
    onSecret(key);
  };
  return (
    <Confirm
      open={open}
      onClose={onClose}
      title={WORDS.rotateTitle(keyView.title)}
      act={WORDS.rotate}
      run={rotate}
      onDone={() => void queries.invalidateQueries({ queryKey: ["keys"] })}
    >
      <p className="text-left whitespace-normal">{WORDS.rotateText}</p>
      <Select
        label={WORDS.grace}
        value={grace}
        options={Object.entries(WORDS.graces).map(([value, label]) => ({ value, label }))}
        onChange={({ target }) => {
          setGrace(target.value);
        }}
      />
    </Confirm>
  );
}

function Revoke({ keyView, open, onClose }: ActProps) {
  const queries = useQueryClient();
  const forget = useForgetSession();
  const { me } = useSession();
  const [isWithMade, setWithMade] = useState(false);
  const isOwn = me?.key_id === keyView.id;
  return (
    <Confirm
      open={open}
      onClose={onClose}
      title={WORDS.revokeTitle(keyView.title)}
      act={WORDS.revoke}
      run={() => revokeKey(keyView, isWithMade)}
      onDone={() => {
        toast(WORDS.revokedToast(keyView.title), "ok");
        void (isOwn ? forget() : queries.invalidateQueries({ queryKey: ["keys"] }));
      }}
    >
      <p className="text-left whitespace-normal">{WORDS.revokeText}</p>
      {isOwn && <p className="text-left whitespace-normal text-warn">{WORDS.revokeOwn}</p>}
      <Switch label={WORDS.revokeMade} checked={isWithMade} onChange={setWithMade} />
    </Confirm>
  );
}
