"""What was asked of the app, for Prometheus. Counted by this process since it started."""

from collections import Counter as Tally
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from perennial.ledger import Ledger, TakenIn


class Figures:
    """Counters of one app."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = self._counter("requests", "Requests answered.", "route", "method", "status")
        self._events = self._counter("events", "New events from providers.", "provider", "kind")
        self._set_aside = self._counter("events_set_aside", "Events kept aside.", "provider")
        self._forged = self._counter("webhooks_forged", "Requests to webhooks that nobody signed.", "provider")

    def asked(self, route: str, method: str, status: int) -> None:
        """Count a request by the pattern of its address, which names nobody."""
        self._requests.labels(route, method, status).inc()

    def taken_in(self, provider: str, taken: TakenIn) -> None:
        """Count what a webhook brought."""
        for kind, number in Tally(event.kind.value for event in taken.events).items():
            self._events.labels(provider, kind).inc(number)
        self._set_aside.labels(provider).inc(taken.set_aside)

    def forged(self, provider: str) -> None:
        """Count a request that the provider did not sign."""
        self._forged.labels(provider).inc()

    def text(self, ledger: Ledger) -> bytes:
        """All of it in Prometheus's text format, with how many messages are where."""
        now = CollectorRegistry()
        now.register(_Ledger(ledger))
        return generate_latest(self._registry) + generate_latest(now)

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(f"perennial_{name}", what, labels, registry=self._registry)


class _Ledger(Collector):
    """What the ledger holds right now."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def collect(self) -> Iterator[Metric]:
        states = GaugeMetricFamily("perennial_messages", "Messages by state.", labels=["state"])
        for state, number in self._ledger.counts_by_state().items():
            states.add_metric([state], number)
        yield states
        aside = GaugeMetricFamily("perennial_set_aside", "Events kept aside.", labels=["provider", "reason"])
        for row in self._ledger.set_aside_counts():
            aside.add_metric([row["provider"], row["reason"]], row["events"])
        yield aside
