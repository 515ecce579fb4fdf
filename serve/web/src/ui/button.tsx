/** Buttons: one primary act in a view, others quiet. 28 px high, the primary one of a page 36. */
import { Slot } from "radix-ui";
import type { ButtonHTMLAttributes, ReactNode } from "react";

import { classes } from "./classes";
import { Tip, type TipSide } from "./tooltip";

type Kind = "primary" | "secondary" | "quiet" | "danger";

const KINDS: Record<Kind, string> = {
  primary: "bg-accent text-accent-fg font-semibold hover:bg-accent-hover disabled:bg-line disabled:text-faint",
  secondary: "border border-line-strong bg-raised font-medium text-fg hover:border-faint disabled:text-faint",
  quiet: "font-medium text-muted hover:bg-raised hover:text-fg disabled:text-faint",
  danger: "border border-line-strong bg-raised font-medium text-bad hover:border-bad disabled:text-faint",
};

export interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  kind?: Kind;
  /** 36 px high: the one primary act of a page. */
  large?: boolean;
  /** As wide as it is high, for one picture. */
  square?: boolean;
  /** The child is drawn as the button, as a link is. */
  asChild?: boolean;
}

export function Button({
  kind = "secondary",
  large = false,
  square = false,
  asChild = false,
  className,
  ...rest
}: ButtonProps) {
  const Drawn = asChild ? Slot.Root : "button";
  return (
    <Drawn
      {...(asChild ? {} : { type: "button" as const })}
      {...rest}
      className={classes(
        "inline-flex items-center justify-center gap-1.5 rounded-sm whitespace-nowrap transition-colors select-none [&>svg]:shrink-0",
        large ? "h-9" : "h-7",
        square ? (large ? "w-9" : "w-7") : large ? "px-4" : "px-2.5",
        KINDS[kind],
        className,
      )}
    />
  );
}

export interface IconButtonProps extends Omit<ButtonProps, "children" | "large"> {
  /** What it does: read out, and shown beside the pointer. */
  label: string;
  tipSide?: TipSide;
  children: ReactNode;
}

/** A square of 28 px with a picture in it. */
export function IconButton({ label, tipSide, kind = "quiet", className, ...rest }: IconButtonProps) {
  return (
    <Tip text={label} side={tipSide}>
      <Button square kind={kind} aria-label={label} className={className} {...rest} />
    </Tip>
  );
}
