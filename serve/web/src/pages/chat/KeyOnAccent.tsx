/** A key that does what a primary button does: in the button's own colour, which is readable on its ground. */
export function KeyOnAccent({ children }: { children: string }) {
  return (
    <kbd aria-hidden className="rounded-sm border border-current px-1 font-mono text-xs">
      {children}
    </kbd>
  );
}
