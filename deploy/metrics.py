"""GET /metrics: what the parts counted and how they stand, as Prometheus reads it. docs/operating.md tells what to make of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from commands.admission.doorkeeper import Admissions
from commands.counts import Counts
from commands.engine.load import Load
from deploy.watched import LocalAgents, Moment, NatsConnection, Watched
from eventstore.counts import Appends, Distribution
from gateway.bus.hub import Hub
from gateway.observed import Requests

Samples = Iterable[tuple[tuple[str, ...], float | Distribution]]
"""Values of the labels, and the value."""

Read = Callable[["Seen"], Samples | None]
"""None: this process has no such part, or nobody can know it now."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table."""

    name: str
    help: str
    family: type[CounterMetricFamily] | type[GaugeMetricFamily] | type[HistogramMetricFamily]
    labels: tuple[str, ...]
    read: Read


@dataclass(frozen=True, slots=True)
class Seen:
    """One look."""

    watched: Watched
    moment: Moment
    load: Load | None
    """The engine's."""

    @property
    def counts(self) -> Counts | None:
        return self.watched.engine.counts if self.watched.engine is not None else None


def exposition(watched: Watched, moment: Moment, accept: str) -> tuple[bytes, str]:
    """-> the document, and its media type: Prometheus' text, or OpenMetrics for who asks for that."""
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)  # process_cpu_seconds_total, process_resident_memory_bytes, process_open_fds ...
    registry.register(_Collected(Seen(watched, moment, watched.engine.load() if watched.engine is not None else None)))
    encode, media = choose_encoder(accept)
    return encode(registry), media


class _Collected(Collector):
    def __init__(self, seen: Seen) -> None:
        self._seen = seen

    def collect(self) -> Iterator[Metric]:
        for figure in FIGURES:
            family = figure.family(figure.name, figure.help, labels=figure.labels)
            samples = figure.read(self._seen)
            if samples is None:
                continue  # not shown as nothing
            for labels, value in samples:
                _add(family, labels, value)
            yield family


def _add(
    family: CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily, labels: tuple[str, ...], value: float | Distribution
) -> None:
    if isinstance(family, HistogramMetricFamily):
        assert isinstance(value, Distribution)
        bounds = [*map(repr, value.bounds), "+Inf"]
        family.add_metric(labels, list(zip(bounds, map(float, accumulate(value.counts)), strict=True)), value.sum)
    else:
        assert not isinstance(value, Distribution)
        family.add_metric(labels, value)


# --- what is read, where this process has it ---


def _one(value: float | Distribution) -> Samples:
    return [((), value)]


def _by(counted: Mapping[str, int] | Mapping[str, Distribution]) -> Samples:
    """By the one label."""
    return [((label,), value) for label, value in counted.items()]


def _log(read: Callable[[Appends], Samples]) -> Read:
    return lambda seen: read(seen.watched.store.counts)


def _engine(read: Callable[[Counts], Samples]) -> Read:
    return lambda seen: read(seen.counts) if seen.counts is not None else None


def _load(read: Callable[[Load], Samples]) -> Read:
    return lambda seen: read(seen.load) if seen.load is not None else None


def _agents(read: Callable[[LocalAgents], Samples]) -> Read:
    return lambda seen: read(seen.watched.agents) if seen.watched.agents is not None else None


def _http(read: Callable[[Requests], Samples]) -> Read:
    return lambda seen: read(seen.watched.requests) if seen.watched.hub is not None else None


def _hub(read: Callable[[Hub], Samples]) -> Read:
    return lambda seen: read(seen.watched.hub) if seen.watched.hub is not None else None


def _head(seen: Seen) -> Samples | None:
    """Only the database knows it: while that is away, nobody does."""
    return None if seen.moment.trouble else _one(seen.moment.head)


def _views(read: Callable[[Moment], float]) -> Read:
    """By the name of their generation."""

    def found(seen: Seen) -> Samples | None:
        views = seen.watched.views
        return None if seen.moment.trouble or views is None else [((views.schema,), read(seen.moment))]

    return found


def _behind(seen: Seen) -> Samples | None:
    return None if seen.load is None or seen.moment.trouble else _one(seen.moment.behind_seconds)


def _pools(seen: Seen) -> Samples:
    pools = {"log": seen.watched.store.connections}
    if seen.watched.views is not None:
        pools["views"] = seen.watched.views.connections
    return [((pool, state), float(getattr(use, state))) for pool, use in pools.items() for state in ("used", "idle", "most")]


def _limited(seen: Seen) -> Samples | None:
    return _by(seen.watched.callers.limited) if seen.watched.callers is not None and seen.watched.hub is not None else None


def _nats(read: Callable[[NatsConnection], float]) -> Read:
    return lambda seen: [((of,), read(each)) for of, each in seen.watched.nats.items()] if seen.watched.nats else None


def _door(read: Callable[[Admissions], Samples]) -> Read:
    return lambda seen: read(seen.watched.doorkeeper.counted) if seen.watched.doorkeeper is not None else None


def _is(seen: Seen) -> Samples:
    return [((seen.watched.version, ",".join(seen.watched.roles)), 1.0)]


C, G, H = CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

FIGURES: tuple[Figure, ...] = (
    Figure("corral_info", "What this process is", G, ("version", "roles"), _is),
    # the log
    Figure("corral_log_position", "The last position of the log", G, (), _head),
    Figure("corral_log_appends_total", "Appends of this process that are in the log", C, (), _log(lambda its: _one(its.appends))),
    Figure("corral_log_events_total", "Events of those appends", C, (), _log(lambda its: _one(its.events))),
    Figure("corral_log_appends_refused_total", "Appends that the log refused", C, ("reason",), _log(lambda its: _by(its.refused))),
    Figure("corral_log_append_seconds", "From an append's call to its answer", H, (), _log(lambda its: _one(its.seconds))),
    Figure("corral_log_batch_events", "Events in one group commit", H, (), _log(lambda its: _one(its.batches))),
    # Postgres
    Figure("corral_postgres_up", "Whether the database answers", G, (), lambda seen: _one(not seen.moment.trouble)),
    Figure("corral_postgres_connections", "Connections for reads", G, ("pool", "state"), _pools),
    # the views
    Figure("corral_views_position", "The position that the views hold", G, ("generation",), _views(lambda its: its.views)),
    Figure("corral_views_lag_events", "Events that they lack", G, ("generation",), _views(lambda its: max(0, its.head - its.views))),
    Figure("corral_views_lag_seconds", "Age of the first event that they lack", G, ("generation",), _views(lambda its: its.lag_seconds)),
    Figure("corral_views_parked_streams", "Streams that can't be folded", G, ("generation",), _views(lambda its: len(its.poisoned))),
    # the engine
    Figure("corral_engine_partitions", "Partitions that it holds, of 16", G, (), _load(lambda its: _one(its.partitions))),
    Figure("corral_engine_leases_valid", "Whether they can't be another's yet", G, (), _load(lambda its: _one(its.sure))),
    Figure("corral_engine_lag_seconds", "Age of the first event that it has not read", G, (), _behind),
    Figure("corral_engine_roots", "Roots with something open", G, ("state",), _load(lambda its: _by(its.roots))),
    Figure("corral_turn_seconds", "From a turn's beginning until it is appended and sent", H, (), _engine(lambda its: _one(its.turns))),
    Figure("corral_turns_failed_total", "Turns that could not be taken", C, (), _engine(lambda its: _one(its.turns_failed))),
    Figure("corral_processes_begun_total", "Processes that began", C, ("process",), _engine(lambda its: _by(its.begun))),
    Figure("corral_processes_ended_total", "Processes that ended", C, ("process", "outcome"), _engine(lambda its: its.ended.items())),
    # commands to agents and handlers
    Figure("corral_commands_sent_total", "Commands, each once", C, ("command",), _engine(lambda its: _by(its.sent))),
    Figure("corral_commands_sent_again_total", "Commands sent again unanswered", C, ("command",), _engine(lambda its: _by(its.sent_again))),
    Figure("corral_command_answer_seconds", "From first sending to answer", H, ("command",), _engine(lambda its: _by(its.answers))),
    Figure(
        "corral_commands_outstanding", "Commands without an answer", G, ("state", "agent_state"), _load(lambda its: its.outstanding.items())
    ),
    Figure("corral_commands_waiting_roots", "Roots that wait for a place at an agent", G, (), _load(lambda its: _one(its.waiting))),
    Figure("corral_handler_calls_total", "Requests to external handlers, each once", C, ("handler",), _engine(lambda its: _by(its.calls))),
    Figure("corral_agents", "Agents in the log", G, ("state",), _load(lambda its: _by(its.agents))),
    Figure("corral_hosts", "Hosts in the log", G, ("state",), _load(lambda its: _by(its.hosts))),
    Figure("corral_strays", "Instances on hosts where they have no place", G, ("what",), _load(lambda its: _by(its.strays))),
    Figure("corral_strays_ended_total", "Those that agents were told to end", C, ("how",), _load(lambda its: _by(its.strays_ended))),
    # agents that run in this process
    Figure("corral_local_agents", "Agents that run in this process", G, (), _agents(lambda its: _one(its.running))),
    Figure("corral_local_commands_total", "Commands that they did", C, ("outcome",), _agents(lambda its: _by(its.carried.outcomes))),
    Figure("corral_local_commands_seconds_total", "Seconds that those took", C, (), _agents(lambda its: _one(its.carried.seconds))),
    # HTTP
    Figure("corral_http_requests_total", "Answered requests", C, ("route", "method", "status"), _http(lambda its: its.answered.items())),
    Figure("corral_http_request_seconds", "Until an answer began", H, ("route", "method"), _http(lambda its: its.seconds.items())),
    Figure("corral_http_requests_under_way", "Requests and streams that are open", G, (), _http(lambda its: _one(its.under_way))),
    Figure("corral_http_rate_limited_total", "Requests that were too many", C, ("limit",), _limited),
    Figure("corral_subscribers", "Subscriptions over HTTP", G, (), _hub(lambda its: _one(len(its)))),
    Figure("corral_subscribers_dropped_total", "Subscribers that read too slowly", C, (), _hub(lambda its: _one(its.dropped))),
    # NATS
    Figure("corral_nats_connected", "Whether the connection stands", G, ("of",), _nats(lambda its: its.connected)),
    Figure("corral_nats_reconnects_total", "How often it was made anew", C, ("of",), _nats(lambda its: max(0, its.connections - 1))),
    Figure("corral_nats_admissions_total", "Who connected to NATS", C, ("outcome",), _door(lambda its: _by(asdict(its)))),
)
