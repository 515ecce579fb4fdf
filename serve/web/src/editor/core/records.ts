/**
 * Changing JSON without changing it in place. Keys keep their order and their place; what was never there comes last;
 * an empty object, list or text is left out, as the server leaves out defaults.
 */
type Record_<T> = Readonly<Record<string, T>>;

/** `record` with `value` under `key`; without the key where the value is undefined. The same object if nothing changes. */
export function withKey<R extends object>(record: R | undefined, key: string, value: unknown): R {
  const known = (record ?? {}) as Record<string, unknown>;
  if (value === undefined) return Object.hasOwn(known, key) ? (without(known, key) as R) : (known as R);
  if (Object.hasOwn(known, key) && known[key] === value) return known as R;
  return { ...known, [key]: value } as R;
}

function without(record: Record<string, unknown>, key: string): Record<string, unknown> {
  return Object.fromEntries(Object.entries(record).filter(([other]) => other !== key));
}

/** `record` without the keys that `isGone`; the same object where there are none. */
export function withoutKeys<T>(record: Record_<T>, isGone: (key: string) => boolean): Record_<T> {
  const kept = Object.entries(record).filter(([key]) => !isGone(key));
  return kept.length === Object.keys(record).length ? record : Object.fromEntries(kept);
}

/** `record` with a key called otherwise, at its place. */
export function withKeyRenamed<T>(record: Record_<T>, from: string, to: string): Record_<T> {
  if (from === to || !Object.hasOwn(record, from)) return record;
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key === from ? to : key, value]));
}

/** Each value changed; the same object if none is. */
export function mapValues<T>(record: Record_<T>, change: (value: T, key: string) => T): Record_<T> {
  let isChanged = false;
  const entries = Object.entries(record).map(([key, value]) => {
    const next = change(value, key);
    if (next !== value) isChanged = true;
    return [key, next] as const;
  });
  return isChanged ? Object.fromEntries(entries) : record;
}

/** Each item changed; the same list if none is. */
export function mapItems<T>(items: readonly T[], change: (item: T, index: number) => T): readonly T[] {
  const next = items.map(change);
  return next.every((item, index) => item === items[index]) ? items : next;
}

/** The items that are kept; the same list if all are. */
export function filterItems<T>(items: readonly T[], isKept: (item: T, index: number) => boolean): readonly T[] {
  const kept = items.filter(isKept);
  return kept.length === items.length ? items : kept;
}

/** `items` with the one at `from` moved to `to`. */
export function withItemMoved<T>(items: readonly T[], from: number, to: number): readonly T[] {
  const item = items[from];
  const place = Math.max(0, Math.min(items.length - 1, to));
  if (item === undefined || from === place) return items;
  const rest = items.filter((_, index) => index !== from);
  return [...rest.slice(0, place), item, ...rest.slice(place)];
}

/** Nothing, where there is nothing in it. */
export function orNothing<T>(value: T): T | undefined {
  if (value === "" || value === null || value === undefined) return undefined;
  if (Array.isArray(value)) return value.length > 0 ? value : undefined;
  return typeof value === "object" && Object.keys(value).length === 0 ? undefined : value;
}

/** `record` with a part of it changed; a part that becomes empty is left out. */
export function withPart<R extends object, K extends keyof R & string>(
  record: R,
  key: K,
  change: (part: R[K] | undefined) => unknown,
): R {
  const part = record[key] as R[K] | undefined;
  const next = change(part);
  return next === part ? record : withKey(record, key, orNothing(next));
}

/** `record` with these fields; those that are undefined, or empty, are left out. */
export function patched<R extends object>(record: R, patch: Partial<R>): R {
  return Object.entries(patch).reduce((next, [key, value]) => withKey(next, key, orNothing(value)), record);
}
