/** What was talked about before, in this browser. */
import { Plus, Trash2 } from "lucide-react";

import { strings } from "@/strings";
import { Button, IconButton } from "@/ui/button";
import { ago } from "@/ui/quantities";
import { toast } from "@/ui/toast";

import { type Conversation, titleOf } from "./conversations";
import type { Conversations } from "./useConversations";

export function ConversationList({ held, isBusy }: { held: Conversations; isBusy: boolean }) {
  const remove = (one: Conversation) => {
    held.remove(one.id);
    toast(strings.chat.removed, "plain", {
      label: strings.chat.undo,
      run: () => {
        held.put(one);
      },
    });
  };
  return (
    <nav aria-label={strings.chat.conversations} className="flex flex-col gap-2">
      <div className="flex items-center justify-between gap-2">
        <h2 className="font-semibold">{strings.chat.conversations}</h2>
        <IconButton label={strings.chat.fresh} disabled={isBusy} onClick={held.begin}>
          <Plus size={16} aria-hidden />
        </IconButton>
      </div>
      {held.current.turns.length === 0 && (
        <p aria-current="true" className="rounded-sm bg-line/60 px-2.5 py-1.5">
          {strings.chat.untitled}
        </p>
      )}
      <ul className="flex flex-col gap-px">
        {held.kept.map((one) => (
          <li key={one.id} className="group flex items-center gap-1">
            <Button
              kind="quiet"
              disabled={isBusy}
              aria-current={one.id === held.current.id}
              className="h-auto min-w-0 flex-1 flex-col items-start gap-0 py-1 text-left aria-current:bg-line/60 aria-current:text-fg"
              onClick={() => {
                held.select(one.id);
              }}
            >
              <span className="w-full truncate">{titleOf(one)}</span>
              <span className="text-xs font-normal text-faint">{ago(new Date(one.updated).toISOString())}</span>
            </Button>
            <IconButton
              label={strings.chat.remove(titleOf(one))}
              disabled={isBusy}
              className="opacity-0 group-focus-within:opacity-100 group-hover:opacity-100 pointer-coarse:opacity-100"
              onClick={() => {
                remove(one);
              }}
            >
              <Trash2 size={14} aria-hidden />
            </IconButton>
          </li>
        ))}
      </ul>
      <p className="text-sm text-faint">{strings.chat.kept}</p>
    </nav>
  );
}
