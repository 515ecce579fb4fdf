"""What was counted, as the text that Prometheus scrapes."""

from collections.abc import Iterable, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from serve.telemetry.recording import Recorder, Sample, Spread
from serve.telemetry.series import Kind, Series

CONTENT_TYPE = CONTENT_TYPE_LATEST


class _Samples(Collector):
    def __init__(self, samples: Iterable[Sample]) -> None:
        self._samples = samples

    def collect(self) -> Iterable[Metric]:
        families: dict[str, Metric] = {}
        for series, labels, cell in self._samples:
            family = families.setdefault(series.name, _family(series))
            if isinstance(cell, Spread):
                counts, total = cell.read()
                assert isinstance(family, HistogramMetricFamily)
                family.add_metric(labels, list(buckets_of(series, counts).items()), total)
            else:
                assert isinstance(family, CounterMetricFamily | GaugeMetricFamily)
                family.add_metric(labels, cell.value)
        return families.values()


def _family(series: Series) -> Metric:
    made: type[CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily] = {
        Kind.COUNTER: CounterMetricFamily,
        Kind.GAUGE: GaugeMetricFamily,
        Kind.HISTOGRAM: HistogramMetricFamily,
    }[series.kind]
    return made(series.name, series.help, labels=series.labels)


def buckets_of(series: Series, counts: Iterable[int]) -> Mapping[str, int]:
    """Cumulative counts by the label `le`, as Prometheus has them."""
    bounds = [str(bound) for bound in series.buckets] + ["+Inf"]
    return dict(zip(bounds, accumulate(counts), strict=True))


def render(*recorders: Recorder) -> bytes:
    """The text of what these counted; its media type is `CONTENT_TYPE`. No two may share a series."""
    registry = CollectorRegistry(auto_describe=False)
    for recorder in recorders:
        registry.register(_Samples(list(recorder.samples())))
    return generate_latest(registry)
