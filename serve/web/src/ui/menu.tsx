/** Menus: a button's, or that of a place (context menu). */
import { Check } from "lucide-react";
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
  /** Of a choice among several: whether it is the one. */
  isChecked?: boolean;
}

/** Words over the items that follow. */
export interface MenuHeading {
  heading: ReactNode;
}

interface MenuProps {
  trigger: ReactElement;
  /** null is a line between. */
  items: (MenuItem | MenuHeading | null)[];
  /** Which edge of the trigger it is under. */
  align?: "start" | "end";
}

export function Menu({ trigger, items, align = "start" }: MenuProps) {
  return (
    // Not modal: a modal one locks scrolling through a style element, which the page's policy refuses.
    <DropdownMenu.Root modal={false}>
      <DropdownMenu.Trigger asChild>{trigger}</DropdownMenu.Trigger>
      <DropdownMenu.Portal>
        <DropdownMenu.Content
          align={align}
          sideOffset={4}
          collisionPadding={8}
          className="enters z-50 max-h-(--radix-dropdown-menu-content-available-height) min-w-44 overflow-y-auto rounded-md border border-line bg-raised p-1 shadow-float"
        >
          {items.map((item, index) => (
            <Row key={index} item={item} />
          ))}
        </DropdownMenu.Content>
      </DropdownMenu.Portal>
    </DropdownMenu.Root>
  );
}

function Row({ item }: { item: MenuItem | MenuHeading | null }) {
  if (item === null) return <DropdownMenu.Separator className="-mx-1 my-1 h-px bg-line" />;
  if ("heading" in item)
    return (
      <DropdownMenu.Label className="max-w-64 px-2 pt-1.5 pb-1 text-sm text-faint">{item.heading}</DropdownMenu.Label>
    );
  const look = classes(
    "flex h-7 cursor-default items-center gap-2 rounded-sm px-2 outline-none data-disabled:text-faint data-highlighted:bg-line",
    item.isDanger && "text-bad",
  );
  const inside = (
    <>
      {item.icon}
      <span className="flex-1">{item.label}</span>
      {item.isChecked && <Check size={14} aria-hidden />}
      {item.keys && <Kbd>{item.keys}</Kbd>}
    </>
  );
  if (item.isChecked === undefined)
    return (
      <DropdownMenu.Item disabled={item.isDisabled} onSelect={item.run} className={look}>
        {inside}
      </DropdownMenu.Item>
    );
  return (
    <DropdownMenu.CheckboxItem checked={item.isChecked} disabled={item.isDisabled} onSelect={item.run} className={look}>
      {inside}
    </DropdownMenu.CheckboxItem>
  );
}
