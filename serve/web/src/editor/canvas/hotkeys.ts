/** Keys of the canvas: from the table of acts to what the keyboard says. */
import { useEffect } from "react";

import { type Act, ACTS } from "./acts";
import { pasteText } from "./clipboard";
import { isReadOnly } from "./commands";

interface Pressed {
  key: string;
  ctrlKey: boolean;
  metaKey: boolean;
  shiftKey: boolean;
  altKey: boolean;
  code: string;
}

/** Whether `event` is what `keys` (`Ctrl+Shift+Z`) writes. Digits and letters go by their place where Shift changes them. */
export function isPressed(event: Pressed, keys: string): boolean {
  const parts = keys.length > 1 ? keys.split("+") : [keys];
  const key = parts.at(-1) ?? "";
  const modifiers = new Set(parts.slice(0, -1));
  if (modifiers.has("Ctrl") !== (event.ctrlKey || event.metaKey) || modifiers.has("Alt") !== event.altKey) return false;
  const isSign = /^[^a-z0-9]$/i.test(key);
  if (!isSign && modifiers.has("Shift") !== event.shiftKey) return false;
  return isSameKey(event, key);
}

function isSameKey({ key, code }: Pressed, wanted: string): boolean {
  if (wanted === "Space") return key === " ";
  if (/^\d$/.test(wanted)) return code === `Digit${wanted}`;
  return key.toLowerCase() === wanted.toLowerCase();
}

export function actFor(event: Pressed): Act | null {
  const fits = (act: Act) => act.keys?.split(" ").some((keys) => isPressed(event, keys)) ?? false;
  return Object.values<Act>(ACTS).find(fits) ?? null;
}

/** Where keys mean what they say: text that is being written, and menus, dialogs and buttons for what they use. */
function isElsewhere(event: KeyboardEvent): boolean {
  const at = event.target instanceof Element ? event.target : null;
  if (at === null) return false;
  // A dialog is over everything, also where the focus has left it.
  if (document.querySelector("dialog[open]") !== null) return true;
  // Writes nothing anywhere: in a field, too, it searches nodes, and not the whole platform as on other pages.
  if (isPressed(event, "Ctrl+K")) return false;
  if (at.closest("input, textarea, select, [contenteditable], dialog, [role=menu], [role=slider]")) return true;
  // On a focused card Space and Enter select it; that is React Flow's own.
  if (event.key === " " && at.classList.contains("react-flow__node")) return true;
  const isPressing = event.key === " " || event.key === "Enter";
  return isPressing && at.closest("button, a, summary, [role=switch], [role=treeitem]") !== null;
}

/** Selected words in a panel are copied as words. */
function isCopyingText(event: KeyboardEvent): boolean {
  return isPressed(event, "Ctrl+C") && (window.getSelection()?.toString() ?? "") !== "";
}

export function useHotkeys(): void {
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.defaultPrevented || isElsewhere(event) || isCopyingText(event)) return;
      const act = actFor(event);
      if (act === null) return;
      // Pasting goes by the browser's own event, which brings the clipboard along without asking.
      if (act === ACTS.paste) return;
      // Where nothing can be added, Ctrl-K is the platform's search.
      if (act === ACTS.addNode && isReadOnly()) return;
      event.preventDefault();
      if (!act.isEdit || !isReadOnly()) act.run();
    };
    const onPaste = (event: ClipboardEvent) => {
      const at = event.target instanceof Element ? event.target : null;
      if (isReadOnly() || at?.closest("input, textarea, [contenteditable], dialog")) return;
      if (pasteText(event.clipboardData?.getData("text/plain") ?? "")) event.preventDefault();
    };
    window.addEventListener("keydown", onKeyDown);
    window.addEventListener("paste", onPaste);
    return () => {
      window.removeEventListener("keydown", onKeyDown);
      window.removeEventListener("paste", onPaste);
    };
  }, []);
}
