/** A menu where the pointer (or the focused node) is: buttons in a popover of the browser's own, so nothing is locked or styled from outside. */
import { useEffect, useRef } from "react";

import { classes } from "@/ui/classes";
import { Kbd } from "@/ui/words";

import { type MenuAt, useCanvasView } from "./view";

const EDGE = 8;

export function PointMenu() {
  const menu = useCanvasView((view) => view.menu);
  return menu === null ? null : <OpenMenu key={`${String(menu.x)}:${String(menu.y)}:${menu.label}`} menu={menu} />;
}

function closeMenu(): void {
  useCanvasView.getState().set({ menu: null });
}

function OpenMenu({ menu }: { menu: MenuAt }) {
  const element = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const popover = element.current;
    if (popover === null) return;
    const before = document.activeElement;
    popover.showPopover();
    place(popover, menu);
    buttonsOf(popover)[0]?.focus();
    return () => {
      // What an item opened keeps the focus; otherwise it goes back to where it was.
      const lost = document.activeElement === document.body || popover.contains(document.activeElement);
      if (lost && before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, [menu]);
  return (
    <div
      ref={element}
      popover="auto"
      role="menu"
      tabIndex={-1}
      aria-label={menu.label}
      onToggle={(event) => {
        if (event.newState === "closed") closeMenu();
      }}
      onKeyDown={(event) => {
        moveFocus(event, element.current);
      }}
      onContextMenu={(event) => {
        event.preventDefault();
      }}
      className="fixed inset-auto m-0 max-h-[70dvh] min-w-48 overflow-y-auto rounded-md border border-line bg-raised p-1 text-fg shadow-float"
    >
      {menu.items.map((item, index) =>
        item === null ? (
          <div key={index} role="separator" className="my-1 h-px bg-line" />
        ) : (
          <button
            key={`${item.label}:${String(index)}`}
            type="button"
            role="menuitem"
            tabIndex={-1}
            disabled={item.isDisabled}
            className={classes(
              "flex h-7 w-full items-center gap-2 rounded-sm px-2 text-left whitespace-nowrap outline-none hover:bg-line focus:bg-line disabled:bg-transparent disabled:text-faint",
              item.isDanger && "text-bad",
            )}
            onClick={() => {
              closeMenu();
              item.run();
            }}
          >
            {item.icon}
            <span className="min-w-0 flex-1 truncate">{item.label}</span>
            {item.keys && <Kbd>{item.keys}</Kbd>}
          </button>
        ),
      )}
    </div>
  );
}

function place(popover: HTMLElement, { x, y }: MenuAt): void {
  const { width, height } = popover.getBoundingClientRect();
  popover.style.left = `${String(Math.max(EDGE, Math.min(x, window.innerWidth - width - EDGE)))}px`;
  popover.style.top = `${String(Math.max(EDGE, Math.min(y, window.innerHeight - height - EDGE)))}px`;
}

function buttonsOf(popover: HTMLElement): HTMLButtonElement[] {
  return [...popover.querySelectorAll<HTMLButtonElement>("button:not(:disabled)")];
}

function moveFocus(event: React.KeyboardEvent, popover: HTMLElement | null): void {
  if (popover === null) return;
  event.stopPropagation();
  if (event.key === "Tab") {
    event.preventDefault();
    closeMenu();
    return;
  }
  const buttons = buttonsOf(popover);
  const current = buttons.findIndex((one) => one === document.activeElement);
  const next = wanted(event.key, current, buttons);
  if (next === null) return;
  event.preventDefault();
  buttons.at(next % buttons.length)?.focus();
}

/** The index of the item that a key goes to; letters go to the next item that begins with it. */
function wanted(key: string, current: number, buttons: HTMLButtonElement[]): number | null {
  if (key === "ArrowDown") return current + 1;
  if (key === "ArrowUp") return current - 1;
  if (key === "Home") return 0;
  if (key === "End") return -1;
  if (key.length !== 1 || key === " ") return null;
  const letters = buttons.map((one) => (one.textContent ?? "").trim().toLowerCase().startsWith(key.toLowerCase()));
  const after = letters.findIndex((fits, index) => fits && index > current);
  const found = after === -1 ? letters.indexOf(true) : after;
  return found === -1 ? null : found;
}
