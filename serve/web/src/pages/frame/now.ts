/** The present, for what is told by it. */
import { useEffect, useState } from "react";

/** The time, told anew each second while `isTicking`: for what goes on. */
export function useNow(isTicking: boolean): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    if (!isTicking) return undefined;
    const timer = setInterval(() => {
      setNow(Date.now());
    }, 1_000);
    return () => {
      clearInterval(timer);
    };
  }, [isTicking]);
  return now;
}
