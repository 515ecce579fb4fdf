/** Cards that nobody can see need not be painted: what is far outside of the window has its inside hidden (`data-off`). The
 * card itself stays where it is, measured, linked and reached by the Tab key, which brings it into sight. */

/** Beyond the window's edges, so that a card that comes in is there already. */
const MARGIN = "320px";

let observer: IntersectionObserver | null = null;

function watching(): IntersectionObserver {
  observer ??= new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) target.toggleAttribute("data-off", !isIntersecting);
    },
    { rootMargin: MARGIN },
  );
  return observer;
}

/** For a card's `ref`: watched from when it is there until it goes. */
export function watchedCard(card: HTMLElement | null): (() => void) | undefined {
  if (card === null) return undefined;
  watching().observe(card);
  return () => {
    watching().unobserve(card);
  };
}
