/** Cut, copy, paste and duplicate. The clipboard holds JSON, so that nodes go from one workflow to another. */
import { whenOwnerLeaves } from "@/api/owner";
import { copy as copied, duplicate as duplicated, paste as pasted, readClip } from "@/editor/core/clipboard";
import { removeNodes } from "@/editor/core/nodes";
import { removeNotes } from "@/editor/core/placing";
import type { Point } from "@/editor/core/types";
import { all } from "@/editor/core/document";
import { strings } from "@/strings";
import { toast } from "@/ui/toast";

import { edit, selectedNodes, selectedNotes } from "./commands";
import { currentDoc } from "./opened";
import { say } from "./view";
import { middle } from "./viewport";

const words = strings.editor.canvas;

/** Where the system's clipboard is not to be had (no HTTPS, no consent), what was copied on this page last. */
let kept = "";
whenOwnerLeaves(() => {
  kept = "";
});
/** How often the same was pasted: each a little further. */
let numPasted = 0;
const STEP = 32;

export function copy(): boolean {
  const names = selectedNodes();
  const clip = copied(currentDoc(), names, selectedNotes());
  if (clip === null) return false;
  kept = JSON.stringify(clip);
  numPasted = 0;
  void navigator.clipboard?.writeText(kept).catch(() => undefined);
  say(words.said.copied(names.length));
  return true;
}

export function cut(): void {
  if (!copy()) return;
  const [names, notes] = [selectedNodes(), selectedNotes()];
  edit(all(removeNodes(names), removeNotes(notes)), words.edits.cut);
  say(words.said.cut(names.length));
}

/** `keepsLinks`: links from nodes that were not copied stay, where those nodes are here. */
export async function paste(keepsLinks: boolean): Promise<void> {
  let text = kept;
  try {
    text = (await navigator.clipboard.readText()) || kept;
  } catch {
    if (kept !== "") toast(words.said.clipboardRefused);
  }
  pasteText(text, keepsLinks);
}

/** Pastes what a text says; false where it is no nodes. */
export function pasteText(text: string, keepsLinks = false): boolean {
  const clip = readClip(text) ?? readClip(kept);
  if (clip === null) {
    say(words.said.nothingToPaste);
    return false;
  }
  const at = placeOfPaste();
  const { document, ids } = pasted(currentDoc(), clip, { at, keepsLinks });
  edit(() => document, words.edits.paste, undefined, ids);
  say(words.said.pasted(ids.length));
  return true;
}

function placeOfPaste(): Point {
  const { x, y } = middle();
  const shift = numPasted * STEP;
  numPasted += 1;
  return { x: x - 112 + shift, y: y - 60 + shift };
}

export function duplicate(): void {
  const { document, ids } = duplicated(currentDoc(), selectedNodes(), selectedNotes());
  if (ids.length === 0) return;
  edit(() => document, words.edits.duplicate, undefined, ids);
  say(words.said.duplicated(ids.length));
}
