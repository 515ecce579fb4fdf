"""What the operator counts: slipway_operator_*."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_PREFIX = "slipway_operator_"
_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class OperatorMetrics:
    """The metrics of one operator, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.passes = Counter(
            _PREFIX + "passes", "Passes over the namespace, by outcome.", ["outcome"], registry=self.registry
        )
        self.pass_seconds = Histogram(
            _PREFIX + "pass_seconds", "How long a pass takes.", buckets=_BUCKETS, registry=self.registry
        )
        self.last_success = Gauge(
            _PREFIX + "last_success_timestamp_seconds", "When a pass last did all it meant to.", registry=self.registry
        )
        self.writes = Counter(
            _PREFIX + "writes",
            "Writes to the Kubernetes API, by kind, verb (apply, patch, delete, status) and outcome.",
            ["kind", "verb", "outcome"],
            registry=self.registry,
        )
        self.documents = Counter(
            _PREFIX + "documents",
            "Writes to the platform, by kind, verb and outcome (done, refused, away).",
            ["kind", "verb", "outcome"],
            registry=self.registry,
        )
        self.resources = Gauge(
            _PREFIX + "resources", "Resources in the namespace, by kind.", ["kind"], registry=self.registry
        )
        self.problems = Gauge(
            _PREFIX + "problems", "What is wrong with resources, by reason.", ["reason"], registry=self.registry
        )
        self.platform_up = Gauge(
            _PREFIX + "platform_up", "Whether the platform answered the last pass.", registry=self.registry
        )
        self.watch_events = Counter(
            _PREFIX + "watch_events", "Changes that the Kubernetes API told of.", ["kind"], registry=self.registry
        )
        self.readings = Counter(_PREFIX + "readings", "Full readings of the namespace.", registry=self.registry)
