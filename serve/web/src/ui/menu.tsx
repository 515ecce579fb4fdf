/** Menus: a button's, or that of a place (context menu). */
import { DropdownMenu } from "radix-ui";
import type { ReactElement, ReactNode } from "react";

import { classes } from "./classes";
import { Kbd } from "./words";

export interface MenuItem {
  label: string;
  run: () => void;
  icon?: ReactNode;
  keys?: string;
  isDanger?: boolean;
  isDisabled?: boolean;
}

/** `items` under `trigger`; null is a line between. */
export function Menu({ trigger, items }: { trigger: ReactElement; items: (MenuItem | null)[] }) {
  return (
    // Not modal: a modal one locks scrolling through a style element, which the page's policy refuses.
    <DropdownMenu.Root modal={false}>
      <DropdownMenu.Trigger asChild>{trigger}</DropdownMenu.Trigger>
      <DropdownMenu.Portal>
        <DropdownMenu.Content
          align="start"
          sideOffset={4}
          className="z-50 min-w-44 rounded-md border border-line bg-raised p-1 shadow-float"
        >
          {items.map((item, index) =>
            item === null ? (
              <DropdownMenu.Separator key={index} className="my-1 h-px bg-line" />
            ) : (
              <DropdownMenu.Item
                key={item.label}
                disabled={item.isDisabled}
                onSelect={item.run}
                className={classes(
                  "flex h-7 items-center gap-2 rounded-sm px-2 outline-none data-disabled:text-faint data-highlighted:bg-line",
                  item.isDanger && "text-bad",
                )}
              >
                {item.icon}
                <span className="flex-1">{item.label}</span>
                {item.keys && <Kbd>{item.keys}</Kbd>}
              </DropdownMenu.Item>
            ),
          )}
        </DropdownMenu.Content>
      </DropdownMenu.Portal>
    </DropdownMenu.Root>
  );
}
