"""GET /metrics: figures for Prometheus, read from the origin at each scrape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from rtmp_sync.admin import facts, figures
from rtmp_sync.admin.access import ACCESS
from rtmp_sync.admin.endpoint import Endpoint

if TYPE_CHECKING:
    from rtmp_sync.server.origin import Origin

ROLES = ("active", "standby", "closed")


async def show(origin: Origin, request: web.Request) -> web.Response:
    request.app[ACCESS].charge_work(request, len(origin.sessions))
    # A registry of its own: two origins in one process share nothing.
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(origin))
    ProcessCollector(registry=registry)
    return web.Response(
        body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
    )


class _Figures(Collector):
    def __init__(self, origin: Origin) -> None:
        self._origin = origin

    def collect(self) -> Iterator[Metric]:
        status = facts.status(self._origin)
        yield from _service(status)
        yield from _state(status)
        for name, value, meaning in figures.gauges(self._origin):
            yield _gauge(name, value, meaning)
        for name, value, meaning in figures.counters(self._origin):
            yield CounterMetricFamily(f"rtmp_sync_{name}", meaning, value=value)
        for family in figures.families(self._origin):
            yield _family(family)
        yield from _calls(self._origin)
        yield _certificates(self._origin)


def _service(status: dict[str, Any]) -> Iterator[Metric]:
    labels = ["id", "version", "codec"]
    info = GaugeMetricFamily("rtmp_sync_info", "always 1: what this origin is", labels=labels)
    info.add_metric([str(status[label]) for label in labels], 1.0)
    yield info
    roles = GaugeMetricFamily("rtmp_sync_role", "1 for the origin's role", labels=["role"])
    for role in ROLES:
        roles.add_metric([role], float(status["role"] == role))
    yield roles
    states = GaugeMetricFamily("rtmp_sync_state", "1 for the watchdog's state", labels=["state"])
    states.add_metric([status["state"]], 1.0)
    yield states
    yield _gauge("gate_open", status["gate"] == "open", "1 while clients can reach this origin")
    yield _gauge("epoch", status["epoch"], "epoch of the last Change")
    yield _gauge("in_sync", len(status["sync"]), "other origins that hold all acknowledged")
    yield _gauge("paused", status["paused"], "1 while automatic takeovers are off")
    yield _gauge("link_up", status["peer"]["link"] == "up", "1 while the other origin is linked")
    alarms = GaugeMetricFamily("rtmp_sync_alarm", "1 for each raised alarm", labels=["alarm"])
    for alarm in status["alarms"]:
        alarms.add_metric([alarm], 1.0)
    yield alarms


def _state(status: dict[str, Any]) -> Iterator[Metric]:
    yield _gauge("head_seq", status["seq"], "sequence number of the last Change here")
    yield _gauge("lag_changes", status["lag"]["changes"], "Changes behind the active origin")
    yield _gauge("lag_ms", status["lag"]["ms"], "age of the oldest Change not applied")
    yield _gauge("clients", status["clients"], "connected clients")
    yield _gauge("instances", status["instances"], "application instances")


def _family(of: figures.Family) -> Metric:
    family = CounterMetricFamily(f"rtmp_sync_{of.name}", of.meaning, labels=of.labels)
    for values, count in of.samples():
        family.add_metric(values, count)
    return family


def _certificates(origin: Origin) -> Metric:
    family = GaugeMetricFamily(
        "rtmp_sync_tls_certificate_expiry_timestamp_seconds",
        "when a certificate that clients are shown ends, in seconds since 1970",
        labels=["key"],
    )
    for _, port in figures.certificates(origin):
        for key, expiry in port.expiries.items():
            family.add_metric([key], expiry)
    return family


def _calls(origin: Origin) -> Iterator[Metric]:
    """Remote calls, by names that somebody wrote down: clients choose what they call."""
    labels = ["application", "user_type", "method"]
    admitted = CounterMetricFamily("rtmp_sync_calls", "calls that were admitted", labels=labels)
    refused = CounterMetricFamily(
        "rtmp_sync_refused_calls", "calls that were refused", labels=[*labels, "reason"]
    )
    for app, access in origin.instances.whitelists:
        for called, count in sorted(access.calls.items()):
            admitted.add_metric([app, *called], count)
        for refusal, count in sorted(access.refusals.counts.items()):
            refused.add_metric([app, *refusal], count)
    yield admitted
    yield refused


def _gauge(name: str, value: float, meaning: str) -> Metric:
    return GaugeMetricFamily(f"rtmp_sync_{name}", meaning, value=float(value))


ENDPOINTS = (Endpoint("GET", "/metrics", show),)
