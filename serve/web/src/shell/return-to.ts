/** Where to go on after signing in. The address comes from outside, so only places of this page are believed. */
const HOME = "/models";
const NO_PLACES = /^\/(signin|login|logout|v1)(\/|\?|#|$)/;

/** The path in `return_to` of `search` (`?return_to=/runs`), or the catalogue. */
export function returnPath(search: string, origin: string = window.location.origin): string {
  const wanted = new URLSearchParams(search).get("return_to");
  if (wanted === null || !wanted.startsWith("/")) return HOME;
  const url = URL.canParse(wanted, origin) ? new URL(wanted, origin) : null;
  // `/.//elsewhere` is a path of this origin whose own text, `//elsewhere`, is another's address.
  if (url?.origin !== origin || NO_PLACES.test(url.pathname) || url.pathname.startsWith("//")) return HOME;
  return url.pathname + url.search + url.hash;
}

/** The sign-in page's address that leads back to `place`. */
export function signInPath(place: string): string {
  return `/signin?return_to=${encodeURIComponent(place)}`;
}
