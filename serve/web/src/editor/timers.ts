/** The clock as saving needs it: the browser's, or a test's. */
export interface Timers {
  now: () => number;
  /** Runs `act` once, later; gives a function that prevents it. */
  after: (milliseconds: number, act: () => void) => () => void;
}

export const realTimers: Timers = {
  now: () => Date.now(),
  after: (milliseconds, act) => {
    const timer = setTimeout(act, milliseconds);
    return () => {
      clearTimeout(timer);
    };
  },
};
