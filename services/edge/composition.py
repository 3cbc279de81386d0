"""Where an edge worker is put together: every part is made here, and given what it works with."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from services.edge.connection import Connection
from services.edge.errors import EdgeError, StorageError
from services.edge.escalate import EscalationMaker, Escalations
from services.edge.escalate.audit_queue import AuditQueue
from services.edge.escalate.back_pressure import QueueLimits
from services.edge.escalate.replies import ReplyReader
from services.edge.escalate.resend import Resend
from services.edge.escalate.sender import Sender
from services.edge.escalate.streams import StreamKey, Streams
from services.edge.exits import ExitControl, SetPoints
from services.edge.half import EdgeHalf
from services.edge.ingest import Quarantine, WholeSamples
from services.edge.journal import Disk, Journal, Spool
from services.edge.journal.in_hand import InHand
from services.edge.networks import EdgeNetwork, Networks
from services.edge.observe import ExplainRoutes, NetworkObserver
from services.edge.observe.audit import Audits
from services.edge.observe.batch_metrics import BatchMetrics
from services.edge.observe.drift import DriftGauges
from services.edge.observe.network_metrics import NetworkMetrics
from services.edge.observe.recent_inputs import RecentInputs
from services.edge.pipeline import Pipeline
from services.edge.publish import Finals, LabelMaker, Outbox
from services.edge.publish.sinks import SinkContext, label_sinks
from services.edge.repeats import KnownAnswers, Repeats, repeat_rule
from services.edge.upkeep import Housekeeping
from services.edge.upkeep.deadlines import Deadlines
from services.edge.upkeep.gauges import WorkerGauges
from services.edge.upkeep.journal_limits import JournalLimits
from services.edge.upkeep.rows import RowUpkeep
from services.edge.worker import EdgeWorker
from services.messages import Status
from services.metrics import DeviceNames, EdgeMetrics
from services.security.feature_keys import FeatureKeys
from services.settings import EdgeSettings, Settings
from services.traces import EdgeTraces

__all__ = ["Edge", "compose"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """A worker that is put together and not started, and those of its parts that others look at."""

    worker: EdgeWorker
    journal: Journal
    connection: Connection
    halves: Sequence[EdgeHalf]
    housekeeping: Housekeeping
    recent: RecentInputs
    routes: ExplainRoutes

    @property
    def escalations(self) -> Escalations:
        """The way up of the first network."""
        return self.halves[0].escalations


@dataclass(frozen=True, slots=True, kw_only=True)
class _Base:
    """What nearly every part needs."""

    settings: Settings
    networks: Networks
    spool: Spool
    metrics: EdgeMetrics
    devices: DeviceNames
    traces: EdgeTraces
    disk: Disk
    recent: RecentInputs

    @property
    def site(self) -> str:
        return self.settings.site.name


@dataclass(frozen=True, slots=True, kw_only=True)
class _Store:
    """What all networks of a worker share of the way of a label."""

    journal: Journal
    outbox: Outbox
    finals: Finals


def compose(
    *,
    settings: Settings,
    networks: Networks,
    spool: Spool,
    metrics: EdgeMetrics,
    traces: EdgeTraces | None = None,
    on_hang: Callable[[], None] = lambda: None,
    alarm: bool = False,
) -> Edge:
    """Put an edge worker together.

    Args:
        settings: All of them.
        networks: Those that its inputs are answered by.
        spool: The worker's folder, held.
        metrics: What is counted.
        traces: Records what becomes of samples; stopped by whoever made it. Nothing is recorded if None.
        on_hang: Ends the process where the worker hangs; see `EdgeWorker`.
        alarm: Let the kernel end the process too, where a batch hangs so that no other thread runs.

    Raises:
        EdgeError: where an input cannot feed its bundle, or the spool cannot be read or written.
        SettingsError: for secret or certificate files that cannot be read.
    """
    base = _Base(
        settings=settings,
        networks=networks,
        spool=spool,
        metrics=metrics,
        devices=DeviceNames(settings.metrics.devices_max),
        traces=traces or EdgeTraces(),
        disk=Disk(metrics=metrics),
        recent=RecentInputs(settings.edge.inputs_kept, settings.edge.inputs_kept_bytes_max),
    )
    exits = {
        each.network_id: ExitControl(
            settings=each.settings, manifest=each.manifest, engine=each.engine, metrics=metrics
        )
        for each in networks.all
    }
    answers = {each.network_id: KnownAnswers() for each in networks.all}
    rules = [
        repeat_rule(each, network.manifest)
        for each, network in zip(settings.edge.inputs, networks.of_inputs, strict=True)
    ]
    labels = {each.network_id: LabelMaker(each.manifest, top=settings.edge.label_top) for each in networks.all}
    for network_id, name in networks.names.items():
        metrics.network_info.labels(network=network_id, bundle=name).set(1)
    first = networks.first
    status = Status(
        state="online", worker=spool.worker, bundle=labels[first.network_id].bundle, kernel=first.engine.kernel
    )
    set_points = SetPoints(base.site, {name: exits[network_id] for network_id, name in networks.names.items()})
    connection = Connection(settings=settings, spool=spool, status=status, metrics=metrics, set_points=set_points)
    with _failing_to_start(), contextlib.ExitStack() as opened:
        journal = opened.enter_context(_journal(settings.edge, spool))
        in_hand = opened.enter_context(InHand(spool.in_hand_path, settings.edge.batch_max))
        journal.begin_run()
        journal.networks.remember(maker.network for maker in labels.values())
        quarantine = Quarantine(
            attempts=journal.attempts, in_hand=in_hand, metrics=metrics, max_deliveries=settings.edge.max_deliveries
        )
        outbox = _outbox(base, journal, connection)
        opened.callback(outbox.close)
        finals = Finals(
            journal=journal,
            outbox=outbox,
            exits=exits,
            answers=answers,
            metrics=metrics,
            devices=base.devices,
            traces=base.traces,
        )
        store = _Store(journal=journal, outbox=outbox, finals=finals)
        halves = {
            each.network_id: _half(
                base,
                store,
                each,
                exits[each.network_id],
                labels[each.network_id],
                Repeats(rules, answers[each.network_id]),
            )
            for each in networks.all
        }
        pipeline = Pipeline(
            settings=settings,
            samples=WholeSamples(
                settings=settings, networks=networks, journal=journal, metrics=metrics, devices=base.devices
            ),
            halves=[halves[each.network_id] for each in networks.of_inputs],
            journal=journal,
            outbox=outbox,
            metrics=BatchMetrics(metrics=metrics, devices=base.devices),
        )
        rows = _rows(base, store)
        resources = opened.pop_all()
    housekeeping = Housekeeping(
        rows=rows,
        disk=base.disk,
        halves=list(halves.values()),
        connection=connection,
        gauges=WorkerGauges(connection=connection, journal=journal, limits=rows.limits, metrics=metrics),
    )
    worker = EdgeWorker(
        settings=settings,
        connection=connection,
        quarantine=quarantine,
        pipeline=pipeline,
        escalations=[half.escalations for half in halves.values()],
        networks=networks.all,
        housekeeping=housekeeping,
        disk=base.disk,
        resources=resources,
        on_hang=on_hang,
        alarm=alarm,
    )
    return Edge(
        worker=worker,
        journal=journal,
        connection=connection,
        halves=list(halves.values()),
        housekeeping=housekeeping,
        recent=base.recent,
        routes=ExplainRoutes(networks=networks, recent=base.recent),
    )


def _journal(edge: EdgeSettings, spool: Spool) -> Journal:
    return Journal(spool.journal_path, power_safe=edge.durability == "power", bytes_max=edge.journal_bytes_max)


def _outbox(base: _Base, journal: Journal, connection: Connection) -> Outbox:
    context = SinkContext(
        settings=base.settings,
        link=connection.link,
        metrics=base.metrics,
        folder=base.spool.folder,
        published=connection.announcements.seen,
    )
    sinks = label_sinks(base.settings.edge.label_sinks, context)
    return Outbox(sinks=sinks, journal=journal, metrics=base.metrics, traces=base.traces)


def _half(
    base: _Base, store: _Store, network: EdgeNetwork, exits: ExitControl, labels: LabelMaker, repeats: Repeats
) -> EdgeHalf:
    audit_queue = AuditQueue(length_max=base.settings.edge.audit.queue_length_max, metrics=base.metrics)
    maker = EscalationMaker(
        site=base.site,
        worker=base.spool.worker,
        network_id=network.network_id,
        top=base.settings.edge.label_top,
    )
    return EdgeHalf(
        network=network,
        exits=exits,
        labels=labels,
        escalations=_escalations(base, store, network, audit_queue, maker),
        observer=_observer(base, network, maker, audit_queue),
        repeats=repeats,
    )


def _escalations(
    base: _Base, store: _Store, network: EdgeNetwork, audit_queue: AuditQueue, maker: EscalationMaker
) -> Escalations:
    edge = base.settings.edge
    key_file = edge.features_key_file
    streams = Streams(
        settings=base.settings.redis,
        network_id=network.network_id,
        awaited=_awaited(base.networks, network, store.journal),
        site=base.site,
        worker=base.spool.worker,
        keys=None if key_file is None else FeatureKeys(key_file, setting="edge.features_key_file"),
    )
    replies = ReplyReader(
        streams=streams,
        journal=store.journal,
        finals=store.finals,
        outbox=store.outbox,
        disk=base.disk,
        metrics=base.metrics,
        corrections=edge.correction,
    )
    sender = Sender(
        streams=streams,
        resend=Resend(
            streams=streams, journal=store.journal, replies=replies, finals=store.finals, per_s=edge.resend_per_s
        ),
        finals=store.finals,
        audits=audit_queue,
        metrics=base.metrics,
        devices=base.devices,
        traces=base.traces,
        limits=QueueLimits.of(edge),
    )
    return Escalations(streams=streams, sender=sender, replies=replies, maker=maker)


def _awaited(networks: Networks, network: EdgeNetwork, journal: Journal) -> list[StreamKey]:
    """The streams that rows of earlier runs wait for: a network's own; the first has those of networks now gone."""
    others = {each.network_id for each in networks.all if each is not network}
    return [
        (network_id, partitions)
        for network_id, partitions in journal.awaited_streams()
        if network_id == network.network_id or (network is networks.first and network_id not in others)
    ]


def _observer(base: _Base, network: EdgeNetwork, maker: EscalationMaker, audit_queue: AuditQueue) -> NetworkObserver:
    edge, manifest = base.settings.edge, network.manifest
    audits = Audits(
        share=edge.audit.share,
        manifest=manifest,
        engine=network.engine,
        escalations=maker,
        queue=audit_queue,
        metrics=base.metrics,
        devices=base.devices,
    )
    return NetworkObserver(
        metrics=NetworkMetrics(
            manifest=manifest, metrics=base.metrics, devices=base.devices, provisional=edge.provisional
        ),
        drift=DriftGauges(manifest=manifest, metrics=base.metrics, devices=base.devices),
        audits=audits,
        recent=base.recent,
        traces=base.traces,
        network_id=network.network_id,
    )


def _rows(base: _Base, store: _Store) -> RowUpkeep:
    edge = base.settings.edge
    limits = JournalLimits(
        journal=store.journal,
        finals=store.finals,
        disk=base.disk,
        metrics=base.metrics,
        waiting_max=edge.waiting_max,
        bytes_max=edge.journal_bytes_max,
        dedupe_window_s=edge.dedupe_window_s,
    )
    return RowUpkeep(
        journal=store.journal, outbox=store.outbox, finals=store.finals, deadlines=Deadlines(), limits=limits
    )


@contextlib.contextmanager
def _failing_to_start() -> Iterator[None]:
    """What fails on the spool's disk now keeps the worker from starting."""
    try:
        yield
    except StorageError as error:
        raise EdgeError(f"{error}; make room on the disk of the spool") from None
