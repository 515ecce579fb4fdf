"""From the cells of a process to Ray's metric export, which every node of Ray offers to Prometheus.

Several gateways answer behind one proxy, and replicas have no port at all, so a scrape can reach neither; Ray's agent
collects from every process of its node. It adds a prefix, `ray_`, and a label, `WorkerId`; the scrape configuration
takes the first off again.

Facts about Ray 2.60 that this module hides. Counters and histograms lose: a counter cannot say zero; a histogram's sum
is made up from its buckets' middles, and its agent pays for every single observation. A gauge is exported as it is, and
forgotten 20 seconds after its process's last word. So everything is sent as gauges, with the number that it is now;
Prometheus asks nobody for a series' type.

To Prometheus the first number of a series is where it begins, and no increase. A tenant's first calls in a replica, all
those of a replica that is soon gone, and the first failure of a model would be in no rate and in no sum. So what counts
says zero first, for `ZERO_SECONDS`, and only then what it has counted.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator
from functools import cache
from weakref import WeakSet

from ray.util.metrics import Gauge

from serve.telemetry.exposition import buckets_of
from serve.telemetry.recording import Recorder, Sample, Spread, new_cell
from serve.telemetry.series import Kind

Number = tuple[str, str, float, dict[str, str]]
"""(name, help, value, tags)"""

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 2.0
"""Below Ray's own interval, 10 s: a gauge that was not set since the last export is not in the next."""
ZERO_SECONDS = 20.0
"""Two of Ray's exports, so that a scrape every 15 seconds sees it."""


class RayExport:
    """A thread that tells Ray every cell of `recorders`. It costs 2 microseconds per cell and flush.

    `sample` is called before, from that thread, to bring levels up to date.
    """

    def __init__(self, recorders: Collection[Recorder], sample: Callable[[], None] | None = None) -> None:
        self._sample = sample
        self._numbers = Numbers(recorders)
        self._gauges: dict[str, Gauge] = {}
        self._stopped = threading.Event()
        threading.Thread(target=self._run, name="slipway-metrics", daemon=True).start()

    def stop(self) -> None:
        """Say what there is to say, and nothing after it."""
        self._stopped.set()
        self.flush(zero_seconds=0)

    def flush(self, zero_seconds: float = ZERO_SECONDS) -> None:
        """Tell Ray what every cell is now; zero of those that count and are younger than `zero_seconds`."""
        if self._sample is not None:
            self._sample()
        for name, help, value, tags in self._numbers.read(time.monotonic(), zero_seconds):
            gauge = self._gauges.get(name)
            if gauge is None:
                gauge = self._gauges[name] = Gauge(name, help, tuple(tags))
            gauge.set(value, tags)

    def _run(self) -> None:
        while not self._stopped.wait(FLUSH_SECONDS):
            try:
                self.flush()
            except Exception:
                logger.exception("metrics could not be handed to Ray")


_recorders: WeakSet[Recorder] = WeakSet()


def export(recorder: Recorder) -> None:
    """Have what `recorder` counts exported for as long as it lives, by one thread for all of a process."""
    _recorders.add(recorder)
    _shared()


@cache
def _shared() -> RayExport:
    return RayExport(_recorders)


class Numbers:
    """The cells of `recorders` as Ray is told them: what counts is zero at first, a level is what it is."""

    def __init__(self, recorders: Collection[Recorder]) -> None:
        self._recorders = recorders
        self._began: dict[tuple[str, tuple[str, ...]], float] = {}

    def read(self, now: float, zero_seconds: float) -> Iterator[Number]:
        """All of them at `now`, in monotonic seconds."""
        for recorder in list(self._recorders):
            for series, labels, cell in recorder.samples():
                began = self._began.setdefault((series.name, labels), now)
                is_zero = series.kind is not Kind.GAUGE and now - began < zero_seconds
                yield from _told((series, labels, new_cell(series) if is_zero else cell))


def _told(sample: Sample) -> Iterator[Number]:
    """Every number of a cell."""
    series, labels, cell = sample
    tags = dict(zip(series.labels, labels, strict=True))
    if not isinstance(cell, Spread):
        yield series.name, series.help, cell.value, tags
        return
    counts, total = cell.read()
    for bound, count in buckets_of(series, counts).items():
        yield f"{series.name}_bucket", series.help, float(count), {**tags, "le": bound}
    yield f"{series.name}_sum", series.help, total, tags
    yield f"{series.name}_count", series.help, float(sum(counts)), tags
