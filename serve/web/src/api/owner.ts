/** In whose name the page acts, and what has to be forgotten when that is somebody else. */
import type { Me } from "./types";

const NOBODY = "anonymous";
const LONGEST_WRITING_MS = 5_000;
const forgetting = new Set<() => void>();
const writing = new Set<() => Promise<unknown>>();

/** Tenant and person (or key), in one word. What is kept in the browser is kept under it. */
export function ownerOf(me: Pick<Me, "tenant" | "key_id" | "user"> | null): string {
  if (me === null) return NOBODY;
  return [me.tenant ?? "", me.user?.id ?? me.key_id].map(encodeURIComponent).join("/");
}

/** For what a module holds in memory of `ownerOf`'s: `act` lets go of it. */
export function whenOwnerLeaves(act: () => void): void {
  forgetting.add(act);
}

/** For what is written a moment later: `write` does it now. Gives a function that ends it. */
export function beforeOwnerLeaves(write: () => Promise<unknown>): () => void {
  writing.add(write);
  return () => writing.delete(write);
}

/** Whatever is being written is written in the name of who wrote it: to be awaited before the session changes. What
 * cannot be written now is no reason to stay. */
export async function finishWriting(): Promise<void> {
  const late = new Promise((resolve) => setTimeout(resolve, LONGEST_WRITING_MS));
  await Promise.race([Promise.allSettled([...writing].map((write) => write())), late]);
}

/** Lets go of what is held in memory and for this tab. Whoever signs in goes on with what was written before. */
export function forgetOwner(owner: string): void {
  if (owner === NOBODY) return;
  for (const act of forgetting) act();
  sessionStorage.clear();
}
