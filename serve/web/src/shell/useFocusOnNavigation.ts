/** After going to another view, the focus stands at its heading, so that a reader begins there. */
import { useEffect, useRef } from "react";

/** How long a heading is waited for: views load their code first. */
const PATIENCE_MS = 4000;

/** "/w/banner/app" and "/w/banner/runs" are one view: who goes from tab to tab keeps the focus on the tab. */
export function viewOf(path: string): string {
  return path.split("/").slice(0, 3).join("/");
}

export function useFocusOnNavigation(path: string): void {
  const view = viewOf(path);
  const before = useRef(view);
  useEffect(() => {
    const main = document.querySelector("main");
    if (before.current === view || main === null) return;
    before.current = view;
    main.focus({ preventScroll: true });
    main.scrollTo(0, 0);
    return focusHeadingOf(main);
  }, [view]);
}

/** Focuses the heading now or as soon as it is there, unless the focus has moved on meanwhile. Returns how to stop. */
function focusHeadingOf(main: HTMLElement): () => void {
  const observer = new MutationObserver(focus);
  const stop = () => {
    observer.disconnect();
    clearTimeout(timer);
  };
  const timer = setTimeout(stop, PATIENCE_MS);
  function focus() {
    const active = document.activeElement;
    if (active !== main && active !== document.body) return;
    const heading = main.querySelector("h1");
    if (heading === null) return;
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
  }
  observer.observe(main, { childList: true, subtree: true });
  focus();
  return stop;
}
