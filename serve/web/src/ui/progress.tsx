/** Progress that moves with real steps, never by itself. */
export function Progress({ label, fraction }: { label: string; fraction: number | null }) {
  const percent = fraction === null ? undefined : Math.round(fraction * 100);
  return (
    <div
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={percent}
      className="h-0.5 w-full overflow-hidden rounded-full bg-line"
    >
      <div
        className="h-full bg-info transition-[width] duration-(--fast)"
        style={{ width: `${String(percent ?? 0)}%` }}
      />
    </div>
  );
}
