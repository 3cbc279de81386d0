"""A cloud worker's process: its parts put together, signals, the metrics server, the end."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import threading
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NoReturn

from hybrid_model.bundle.file import SHIPPED
from services.cloud.audit import Auditor
from services.cloud.batch import JobReader
from services.cloud.leases import LeaseKeeper, Watchdog
from services.cloud.networks import Forward, Networks, check_device, load_cloud_half
from services.cloud.runner import BatchRunner
from services.cloud.worker import CloudWorker
from services.common import logs
from services.common.exit_status import HANG
from services.feature_stream import CloudFeatures
from services.metrics import CloudMetrics, MetricsServer
from services.security.feature_keys import FeatureKeys
from services.settings import CloudSettings, Settings
from services.traces import CloudTraces, cloud_traces

__all__ = ["make_worker", "run"]


def run(loaded: Settings, load: Callable[[Path], Forward] | None = None) -> None:
    """Work until SIGTERM or SIGINT. Call it from the main thread.

    Args:
        loaded: The settings.
        load: Path of a bundle -> its cloud half; in torch, on the device of the settings, if None.

    Raises:
        SettingsError: torch or the device of the settings is not there.
        BundleError: a named bundle is missing or damaged, or there is none.
        StreamUnavailableError: Redis does not answer at the start.
        MetricsError: the address for metrics is taken.
        TracesError: traces are switched on, and OpenTelemetry is not installed.
    """
    logs.configure(loaded.log)
    chosen = loaded.cloud
    features = CloudFeatures(
        loaded.redis,
        consumer=f"{chosen.worker or socket.gethostname()}-{uuid.uuid4().hex[:12]}",
        lease_s=chosen.lease_s,
        max_deliveries=chosen.max_deliveries,
        dead_letters_max=chosen.dead_letters_max,
        dead_letters_bytes_max=chosen.dead_letters_bytes_max,
    )
    networks = Networks(
        chosen.bundles or [SHIPPED],
        load or partial(load_cloud_half, device=chosen.device, threads=chosen.threads, precision=chosen.precision),
    )
    features.ping()
    if load is None:
        check_device(chosen.device)
    metrics = CloudMetrics()
    metrics.identify("cloud", features.consumer, kernel=chosen.device)
    traces = cloud_traces(loaded.traces, worker=features.consumer, spans=metrics.trace_spans)
    try:
        worker = make_worker(
            chosen,
            features=features,
            networks=networks,
            metrics=metrics,
            on_hang=_exit_at_once,
            watchdog=Watchdog(),
            devices_max=loaded.metrics.devices_max,
            traces=traces,
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: worker.stop())
        registry = metrics.registry
        with MetricsServer(loaded.metrics, registry, ready=lambda: worker.ready, healthy=lambda: worker.healthy):
            worker.run()
    finally:
        traces.stop()
        # The interpreter looks through all objects once more when it ends: half a second, where torch is loaded.
        gc.freeze()


def make_worker(
    settings: CloudSettings,
    *,
    features: CloudFeatures,
    networks: Networks,
    metrics: CloudMetrics,
    on_hang: Callable[[], None],
    watchdog: Watchdog | None = None,
    devices_max: int = 256,
    traces: CloudTraces | None = None,
) -> CloudWorker:
    """A cloud worker with all its parts.

    Args:
        settings: Batches, leases, keys.
        features: The streams. The worker closes it.
        networks: The bundles.
        metrics: What is counted.
        on_hang: Called from another thread when a forward outlasts `batch_timeout_s`; it ends the process.
        watchdog: Ends the process where that thread cannot run.
        devices_max: Devices that get series of their own.
        traces: Records what becomes of samples; stopped by whoever made it. Nothing is recorded if None.

    Raises:
        SettingsError: the file of feature keys is not as it must be.
    """
    path = settings.features_key_file
    keys = None if path is None else FeatureKeys(path, setting="cloud.features_key_file")
    reader = JobReader(keys=keys, encrypted_only=settings.encrypted_only)
    keeper = LeaseKeeper(
        features=features,
        batch_timeout_s=settings.batch_timeout_s,
        on_renewed=metrics.leases_renewed.inc,
        on_hang=on_hang,
        watchdog=watchdog,
    )
    auditor = Auditor(
        features=features, networks=networks, keeper=keeper, metrics=metrics, reader=reader, devices_max=devices_max
    )
    stopping = threading.Event()
    runner = BatchRunner(
        features=features,
        keeper=keeper,
        metrics=metrics,
        reader=reader,
        stopping=stopping,
        traces=traces or CloudTraces(),
        on_answered=auditor.answered,
    )
    return CloudWorker(
        settings=settings,
        features=features,
        networks=networks,
        metrics=metrics,
        keeper=keeper,
        auditor=auditor,
        runner=runner,
        stopping=stopping,
    )


def _exit_at_once() -> NoReturn:
    """End although a thread computes without end; a supervisor starts the worker again.

    Where that thread lets no other run, the watchdog ends the process instead, with status 1.
    """
    sys.stderr.flush()
    os._exit(HANG)
