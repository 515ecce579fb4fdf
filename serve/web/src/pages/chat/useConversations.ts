/** The conversations of one model's page, kept in this browser for whoever is signed in. */
import { useCallback, useState } from "react";

import { ownerOf } from "@/api/owner";
import type { Json } from "@/api/types";
import { useSession } from "@/shell/session";

import { type Conversation, newConversation, read, write } from "./conversations";

export interface Conversations {
  /** The newest first. */
  kept: Conversation[];
  current: Conversation;
  select: (id: string) => void;
  begin: () => void;
  change: (id: string, edit: (conversation: Conversation) => Conversation) => void;
  remove: (id: string) => void;
  put: (conversation: Conversation) => void;
}

interface Held {
  owner: string;
  all: Conversation[];
  current: Conversation;
}

export function useConversations(page: string, values: Record<string, Json>): Conversations {
  const owner = ownerOf(useSession().me);
  const [held, setHeld] = useState<Held>(() => opened(owner, page, values));
  // Another person at the same browser: what is held is not theirs.
  if (held.owner !== owner) setHeld(opened(owner, page, values));

  const change = useCallback((id: string, edit: (conversation: Conversation) => Conversation) => {
    setHeld((before) => {
      const found = before.current.id === id ? before.current : before.all.find((one) => one.id === id);
      return found === undefined ? before : put(before, edit(found));
    });
  }, []);
  return {
    kept: held.all.filter((one) => one.page === page).sort((a, b) => b.updated - a.updated),
    current: held.current,
    change,
    select: (id) => {
      setHeld((before) => ({ ...before, current: before.all.find((one) => one.id === id) ?? before.current }));
    },
    begin: () => {
      setHeld((before) => {
        const { system, models, values: chosen } = before.current;
        return { ...before, current: { ...newConversation(page, page, Date.now(), chosen), system, models } };
      });
    },
    remove: (id) => {
      setHeld((before) => {
        const all = before.all.filter((one) => one.id !== id);
        write(localStorage, before.owner, all);
        const isOpen = before.current.id === id;
        return { ...before, all, current: isOpen ? newConversation(page, page, Date.now(), values) : before.current };
      });
    },
    put: (conversation) => {
      setHeld((before) => ({ ...put(before, conversation), current: conversation }));
    },
  };
}

function opened(owner: string, page: string, values: Record<string, Json>): Held {
  const all = read(localStorage, owner);
  const last = all.filter((one) => one.page === page).sort((a, b) => b.updated - a.updated)[0];
  return { owner, all, current: last ?? newConversation(page, page, Date.now(), values) };
}

/** With `conversation` in the place of that of its id, and on the disk. One without turns is only open, not kept. */
function put(held: Held, conversation: Conversation): Held {
  // Another tab may have kept some meanwhile.
  const stored = read(localStorage, held.owner);
  const others = (stored.length > 0 ? stored : held.all).filter((one) => one.id !== conversation.id);
  const all = conversation.turns.length === 0 ? others : [...others, conversation];
  write(localStorage, held.owner, all);
  return { ...held, all, current: held.current.id === conversation.id ? conversation : held.current };
}
