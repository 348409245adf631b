"""What Prometheus reads of the service at ``/metrics``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

if TYPE_CHECKING:
    from emodag.web.team import Team

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """The counters of one service."""

    def __init__(self, team: Team):
        """Take the workers, whose numbers are read when they are asked for."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "emodag_requests", "Requests that were answered", ("path", "method", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "emodag_request_seconds", "From the request to its answer", ("path",), buckets=_SECONDS,
            registry=self.registry,
        )  # fmt: skip
        for name, told, value in (
            ("waiting", "Recordings that wait for a worker", lambda lane: lane.waiting),
            ("active", "Recordings, or live clients, with a worker", lambda lane: lane.active),
        ):
            gauge = Gauge(f"emodag_{name}", told, ("kind",), registry=self.registry)
            for kind, lane in team.lanes.items():
                gauge.labels(kind).set_function(lambda value=value, lane=lane: value(lane))
        ended = Gauge("emodag_workers_ended", "Workers that went beyond their limits", registry=self.registry)
        ended.set_function(lambda: team.replaced)

    def answered(self, path: str, method: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(path, method, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)
