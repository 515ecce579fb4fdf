/** The focus stays in a part of the page whose focused button has given way to another one: it goes to the part itself. */
import { type FocusEvent, useEffect, useRef } from "react";

/** For an element that can have the focus (`tabIndex={-1}`); `turn` changes when its buttons do. */
export function useKeptFocus<T extends HTMLElement>(turn: unknown) {
  const element = useRef<T>(null);
  const isWithin = useRef(false);
  useEffect(() => {
    if (isWithin.current && document.activeElement === document.body) element.current?.focus();
  }, [turn]);
  return {
    ref: element,
    onFocus: () => {
      isWithin.current = true;
    },
    onBlur: ({ target }: FocusEvent) => {
      // A button that is disabled because it was pressed has not been left.
      if (!target.matches(":disabled")) isWithin.current = false;
    },
  };
}
