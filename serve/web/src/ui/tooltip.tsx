/** Words beside the pointer or the focus. They repeat what is said elsewhere or name an icon; nothing is only here. */
import { Tooltip } from "radix-ui";
import type { ReactElement, ReactNode } from "react";

export function TooltipProvider({ children }: { children: ReactNode }) {
  return <Tooltip.Provider delayDuration={400}>{children}</Tooltip.Provider>;
}

export type TipSide = "top" | "right";

interface TipProps {
  text: ReactNode;
  /** Above, where there is room, else below. To the right of what stands in a column, which it would cover. */
  side?: TipSide;
  children: ReactElement;
}

export function Tip({ text, side = "top", children }: TipProps) {
  return (
    <Tooltip.Root>
      <Tooltip.Trigger asChild>{children}</Tooltip.Trigger>
      <Tooltip.Portal>
        <Tooltip.Content
          side={side}
          sideOffset={6}
          className="enters z-50 max-w-72 rounded-sm border border-line bg-raised px-2 py-1 text-sm text-fg shadow-float"
        >
          {text}
        </Tooltip.Content>
      </Tooltip.Portal>
    </Tooltip.Root>
  );
}
