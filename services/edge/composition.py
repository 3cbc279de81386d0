"""Where an edge worker is put together: every part is made here, and given what it works with."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hybrid_model.bundle import Manifest
from hybrid_model.runtime import Engine
from services.edge.connection import Connection
from services.edge.errors import EdgeError, StorageError
from services.edge.escalate import EscalationMaker, Escalations
from services.edge.escalate.audit_queue import AuditQueue
from services.edge.escalate.back_pressure import QueueLimits
from services.edge.escalate.replies import ReplyReader
from services.edge.escalate.resend import Resend
from services.edge.escalate.sender import Sender
from services.edge.escalate.streams import Streams
from services.edge.exits import ExitControl
from services.edge.ingest import Quarantine, WholeSamples
from services.edge.journal import Disk, Journal, Spool
from services.edge.journal.in_hand import InHand
from services.edge.observe import BatchObserver, ExplainRoutes
from services.edge.observe.audit import Audits
from services.edge.observe.batch_metrics import BatchMetrics
from services.edge.observe.drift import DriftGauges
from services.edge.observe.recent_inputs import RecentInputs
from services.edge.pipeline import Pipeline
from services.edge.publish import Finals, LabelMaker, Outbox
from services.edge.publish.sinks import SinkContext, label_sinks
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
    escalations: Escalations
    housekeeping: Housekeeping
    observer: BatchObserver
    routes: ExplainRoutes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Base:
    """What nearly every part needs."""

    settings: Settings
    manifest: Manifest
    engine: Engine
    spool: Spool
    metrics: EdgeMetrics
    devices: DeviceNames
    traces: EdgeTraces
    disk: Disk

    @property
    def site(self) -> str:
        return self.settings.site.name


def compose(
    *,
    settings: Settings,
    manifest: Manifest,
    engine: Engine,
    spool: Spool,
    metrics: EdgeMetrics,
    traces: EdgeTraces | None = None,
    on_hang: Callable[[], None] = lambda: None,
    alarm: bool = False,
) -> Edge:
    """Put an edge worker together.

    Args:
        settings: All of them.
        manifest: The bundle's.
        engine: Its edge half.
        spool: The worker's folder, held.
        metrics: What is counted.
        traces: Records what becomes of samples; stopped by whoever made it. Nothing is recorded if None.
        on_hang: Ends the process where the worker hangs; see `EdgeWorker`.
        alarm: Let the kernel end the process too, where a batch hangs so that no other thread runs.

    Raises:
        EdgeError: where an input cannot feed the bundle, or the spool cannot be read or written.
        SettingsError: for secret or certificate files that cannot be read.
    """
    base = _Base(
        settings=settings,
        manifest=manifest,
        engine=engine,
        spool=spool,
        metrics=metrics,
        devices=DeviceNames(settings.metrics.devices_max),
        traces=traces or EdgeTraces(),
        disk=Disk(metrics=metrics),
    )
    exits = ExitControl(settings=settings.edge, manifest=manifest, engine=engine, metrics=metrics)
    label_maker = LabelMaker(manifest)
    status = Status(state="online", worker=spool.worker, bundle=label_maker.bundle, kernel=engine.kernel)
    connection = Connection(settings=settings, spool=spool, status=status, metrics=metrics, exits=exits)
    with _failing_to_start(), contextlib.ExitStack() as opened:
        journal = opened.enter_context(_journal(settings.edge, spool))
        in_hand = opened.enter_context(InHand(spool.in_hand_path, settings.edge.batch_max))
        journal.begin_run()
        journal.networks.remember(label_maker.network)
        quarantine = Quarantine(
            attempts=journal.attempts, in_hand=in_hand, metrics=metrics, max_deliveries=settings.edge.max_deliveries
        )
        outbox = _outbox(base, journal, connection)
        opened.callback(outbox.close)
        finals = Finals(
            journal=journal, outbox=outbox, exits=exits, metrics=metrics, devices=base.devices, traces=base.traces
        )
        audit_queue = AuditQueue(length_max=settings.edge.audit.queue_length_max, metrics=metrics)
        maker = EscalationMaker(
            site=base.site, worker=spool.worker, network_id=manifest.network_id, top=settings.edge.label_top
        )
        escalations = _escalations(base, journal, outbox, finals, audit_queue, maker)
        observer = _observer(base, maker, audit_queue)
        pipeline = Pipeline(
            settings=settings,
            manifest=manifest,
            samples=WholeSamples(
                settings=settings, manifest=manifest, journal=journal, metrics=metrics, devices=base.devices
            ),
            exits=exits,
            journal=journal,
            outbox=outbox,
            escalations=escalations,
            observer=observer,
        )
        rows = _rows(base, journal, outbox, finals)
        resources = opened.pop_all()
    housekeeping = Housekeeping(
        rows=rows,
        disk=base.disk,
        escalations=escalations,
        exits=exits,
        connection=connection,
        observer=observer,
        gauges=WorkerGauges(connection=connection, journal=journal, limits=rows.limits, metrics=metrics),
    )
    worker = EdgeWorker(
        settings=settings,
        connection=connection,
        quarantine=quarantine,
        pipeline=pipeline,
        escalations=escalations,
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
        escalations=escalations,
        housekeeping=housekeeping,
        observer=observer,
        routes=ExplainRoutes(engine=engine, manifest=manifest, recent=observer.recent, guard=settings.edge.guard),
    )


def _journal(edge: EdgeSettings, spool: Spool) -> Journal:
    return Journal(spool.journal_path, power_safe=edge.durability == "power", bytes_max=edge.journal_bytes_max)


def _outbox(base: _Base, journal: Journal, connection: Connection) -> Outbox:
    context = SinkContext(settings=base.settings, link=connection.link, metrics=base.metrics, folder=base.spool.folder)
    sinks = label_sinks(base.settings.edge.label_sinks, context)
    return Outbox(sinks=sinks, journal=journal, metrics=base.metrics, traces=base.traces)


def _escalations(
    base: _Base, journal: Journal, outbox: Outbox, finals: Finals, audit_queue: AuditQueue, maker: EscalationMaker
) -> Escalations:
    edge = base.settings.edge
    key_file = edge.features_key_file
    streams = Streams(
        settings=base.settings.redis,
        network_id=base.manifest.network_id,
        awaited=journal.awaited_streams(),
        site=base.site,
        worker=base.spool.worker,
        keys=None if key_file is None else FeatureKeys(key_file, setting="edge.features_key_file"),
    )
    replies = ReplyReader(
        streams=streams,
        journal=journal,
        finals=finals,
        outbox=outbox,
        disk=base.disk,
        metrics=base.metrics,
        corrections=edge.correction,
    )
    sender = Sender(
        streams=streams,
        resend=Resend(streams=streams, journal=journal, replies=replies, finals=finals, per_s=edge.resend_per_s),
        finals=finals,
        audits=audit_queue,
        metrics=base.metrics,
        devices=base.devices,
        traces=base.traces,
        limits=QueueLimits.of(edge),
    )
    return Escalations(streams=streams, sender=sender, replies=replies, maker=maker)


def _observer(base: _Base, maker: EscalationMaker, audit_queue: AuditQueue) -> BatchObserver:
    edge = base.settings.edge
    audits = Audits(
        share=edge.audit.share,
        manifest=base.manifest,
        engine=base.engine,
        escalations=maker,
        queue=audit_queue,
        metrics=base.metrics,
        devices=base.devices,
    )
    batch_metrics = BatchMetrics(
        manifest=base.manifest, metrics=base.metrics, devices=base.devices, provisional=edge.provisional
    )
    return BatchObserver(
        metrics=batch_metrics,
        drift=DriftGauges(manifest=base.manifest, metrics=base.metrics, devices=base.devices),
        audits=audits,
        recent=RecentInputs(edge.inputs_kept, edge.inputs_kept_bytes_max),
        traces=base.traces,
    )


def _rows(base: _Base, journal: Journal, outbox: Outbox, finals: Finals) -> RowUpkeep:
    edge = base.settings.edge
    limits = JournalLimits(
        journal=journal,
        finals=finals,
        disk=base.disk,
        metrics=base.metrics,
        waiting_max=edge.waiting_max,
        bytes_max=edge.journal_bytes_max,
        dedupe_window_s=edge.dedupe_window_s,
    )
    return RowUpkeep(journal=journal, outbox=outbox, finals=finals, deadlines=Deadlines(), limits=limits)


@contextlib.contextmanager
def _failing_to_start() -> Iterator[None]:
    """What fails on the spool's disk now keeps the worker from starting."""
    try:
        yield
    except StorageError as error:
        raise EdgeError(f"{error}; make room on the disk of the spool") from None
