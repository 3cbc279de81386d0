"""`dewpoint doctor`: looks at everything that a worker needs, says what is wrong and what to do."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal

from rich.table import Table
from rich.text import Text

from hybrid_model import bundle as bundle_file
from hybrid_model.bundle import Bundle, BundleError, Manifest
from services import settings as settings_file
from services.feature_stream import StreamUnavailableError
from services.feature_stream.link import RedisLink
from services.mqtt import MqttError, MqttLink
from services.security.feature_keys import FeatureKeys
from services.security.secret_files import open_to_others
from services.settings import MqttSettings, RedisSettings, Settings, SettingsError, TlsSettings

State = Literal["good", "note", "wrong"]

_REDIS_FLOOR = (6, 2)
_SPOOL_BYTES_MIN = 1 << 30
_SKEW_MAX_S = 2.0
_EARLIEST_NOW = 1_735_689_600.0  # 2025: a clock before it was never set


@dataclass(frozen=True)
class Finding:
    """What one look has shown: `wrong` keeps a worker from its work, a `note` does not. `remedy`: what to do."""

    subject: str
    state: State
    detail: str
    remedy: str = ""

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def examine(config: Path | None) -> list[Finding]:
    """Look at everything; `config` as for `settings.load`. Nothing is changed but for a file that comes and goes."""
    try:
        loaded = settings_file.load(config)
    except SettingsError as error:
        return [Finding("settings", "wrong", str(error), "mend the setting; docs/reference/settings.md lists them all")]
    source = config or os.environ.get(settings_file.CONFIG_VARIABLE) or "defaults and environment"
    findings = [Finding("settings", "good", f"site {loaded.site.name}, from {source}")]
    looks: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
        _bundle,
        _cloud_half,
        _broker,
        _redis,
        _plain,
        _secrets,
        _traces,
        _spool,
        _clock,
    )
    for look in looks:
        findings += look(loaded)
    return findings


def report(findings: list[Finding]) -> Table:
    """The findings for a person."""
    table = Table(show_header=False, title="dewpoint doctor", title_justify="left")
    signs = {"good": ("ok", "green"), "note": ("note", "yellow"), "wrong": ("WRONG", "bold red")}
    for finding in findings:
        sign, style = signs[finding.state]
        said = Text(finding.detail)
        if finding.remedy:
            said.append(f"\n-> {finding.remedy}", style=style)
        table.add_row(finding.subject, Text(sign, style=style), said)
    return table


def _bundle(loaded: Settings) -> Iterator[Finding]:
    for name in loaded.edge.bundles:
        try:
            bundle = bundle_file.load(bundle_file.resolve(name))
        except BundleError as error:
            setting = "edge.bundle" if name == loaded.edge.bundle else "the input's bundle"
            yield Finding("bundle", "wrong", str(error), f"set {setting} to a .dew file or a shipped name")
            continue
        manifest = bundle.manifest
        yield Finding("bundle", "good", f"{manifest.name}, network id {manifest.network_id}, {bundle.path}")
        yield from _inputs(loaded, name, manifest)
        yield from _kernel(loaded, bundle)
    yield from _sinks(loaded)


def _kernel(loaded: Settings, bundle: Bundle) -> Iterator[Finding]:
    from hybrid_model.runtime import EdgeEngine

    try:
        engine = EdgeEngine(bundle, threads=loaded.edge.threads)
    except (ValueError, RuntimeError, ImportError) as error:
        remedy = "unset DEWPOINT_KERNEL, or name a kernel of this machine"
        yield Finding("kernel", "wrong", str(error), remedy)
        return
    if engine.kernel == "numpy":
        yield Finding("kernel", "note", "numpy: the reference; right, but slow")
    else:
        yield Finding("kernel", "good", engine.kernel)


def _inputs(loaded: Settings, name: str, manifest: Manifest) -> Iterator[Finding]:
    """What keeps an edge worker from starting with the inputs that the bundle `name` answers."""
    from services.edge.errors import EdgeError
    from services.edge.ingest.decoding import ReadingKind, payload_kind
    from services.edge.ingest.windows import channel_rule, window_rule
    from services.edge.repeats import repeat_rule

    for source in loaded.edge.inputs:
        if (source.bundle or loaded.edge.bundle) != name:
            continue
        try:
            kind = payload_kind(manifest.input, source, loaded.limits)
            if isinstance(kind, ReadingKind):
                window_rule(source, manifest.input)
                rows_max = loaded.limits.reading_rows_max
                channel_rule(source, manifest.input, kind.channel_names, rows_max=rows_max)
        except EdgeError as error:
            remedy = "change the input, or set its bundle (edge.bundle for all) to one that it can feed"
            yield Finding("input", "wrong", str(error), remedy)
        try:
            repeat_rule(source, manifest)
        except EdgeError as error:
            remedy = "set the input's reuse_bits or switch reuse off, or name a bundle that knows a distance"
            yield Finding("reuse", "wrong", str(error), remedy)


def _sinks(loaded: Settings) -> Iterator[Finding]:
    """What keeps an edge worker from starting with these sinks."""
    from services.edge.errors import EdgeError
    from services.edge.publish.sinks import check_sink

    for name in loaded.edge.label_sinks:
        try:
            check_sink(name, loaded)
        except EdgeError as error:
            yield Finding("label sink", "wrong", str(error), "change edge.label_sinks, or what that sink needs")


def _cloud_half(loaded: Settings) -> Iterator[Finding]:
    if find_spec("torch") is None:
        detail = "torch is not installed: this machine can run edge workers, but no cloud worker"
        yield Finding("cloud half", "note", detail, "pip install 'dewpoint[cloud]', if it shall run one")
        return
    for name in loaded.cloud.bundles:
        if not Path(name).is_dir():
            try:
                bundle_file.load(bundle_file.resolve(name), cloud=True)
            except BundleError as error:
                yield Finding("cloud half", "wrong", str(error), "mend cloud.bundles")
                return
        elif not any(Path(name).glob("*.dew")):
            yield Finding(
                "cloud half", "wrong", f"{name} holds no .dew file", "put bundles there, or mend cloud.bundles"
            )
            return
    yield Finding("cloud half", "good", f"serves {', '.join(loaded.cloud.bundles) or 'the shipped bundles'}")


def _broker(loaded: Settings) -> Iterator[Finding]:
    began = time.monotonic()
    try:
        link = MqttLink(loaded.mqtt, client_id=f"dewpoint-doctor-{os.getpid()}", persistent=False)
        link.start()
    except (MqttError, SettingsError, OSError) as error:
        remedy = "start the broker, or mend [mqtt] host, port, username, password_file, tls"
        yield Finding("MQTT broker", "wrong", str(error), remedy)
        return
    took_ms = (time.monotonic() - began) * 1000
    link.stop()
    yield Finding("MQTT broker", "good", f"{link.address}, MQTT {link.protocol}, connected in {took_ms:.0f} ms")
    if _lets_anyone_in(loaded.mqtt):
        detail = f"{link.address} lets anyone in: whoever reaches it may speak for any device"
        yield Finding(
            "MQTT access", "note", detail, "allow_anonymous false, accounts and an ACL: docs/how-to/security.md"
        )


def _redis(loaded: Settings) -> Iterator[Finding]:
    try:
        link = RedisLink(loaded.redis)
        link.ping()
        info, (seconds, microseconds) = link.optional([("INFO",), ("TIME",)])
    except (StreamUnavailableError, SettingsError, OSError) as error:
        remedy = "start Redis, or mend [redis] host, port, username, password_file, tls"
        yield Finding("Redis", "wrong", str(error), remedy)
        return
    if _answers_anyone(loaded.redis):
        detail = f"{link.address} lets anyone in: whoever reaches it may read features and answer samples"
        yield Finding("Redis access", "note", detail, "users and an ACL file: docs/how-to/security.md")
    skew_s = time.time() - (float(seconds) + float(microseconds) / 1e6)
    link.close()
    if info is None:
        yield Finding("Redis", "note", f"{link.address} answers, but does not let us ask its version")
    else:
        yield from _redis_settings(link.address, info)
    if abs(skew_s) > _SKEW_MAX_S:
        detail = f"this machine and Redis differ by {skew_s:+.1f} s"
        yield Finding("clocks", "note", detail, "set both by NTP: ages and times in labels are off by as much")


def _redis_settings(address: str, info: dict[str, Any]) -> Iterator[Finding]:
    version = str(info.get("redis_version", "0"))
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < _REDIS_FLOOR:
        yield Finding("Redis", "wrong", f"{address} is Redis {version}", "install Redis 6.2 or newer")
        return
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        detail = f"{address} may evict hard samples: maxmemory-policy {policy}"
        yield Finding("Redis", "wrong", detail, "redis-cli config set maxmemory-policy noeviction")
        return
    yield Finding("Redis", "good", f"{address}, Redis {version}")
    if not int(info.get("maxmemory", 0)):
        detail = "no maxmemory: a cloud that stays away could fill the machine"
        yield Finding("Redis memory", "note", detail, "set maxmemory, with policy noeviction")
    if not int(info.get("aof_enabled", 0)):
        detail = "no append-only file: hard samples under way are computed again after a crash"
        yield Finding("Redis file", "note", detail, "set appendonly yes, if Redis shall keep them itself")


def _lets_anyone_in(chosen: MqttSettings) -> bool:
    """Whether the broker takes a connection without name and certificate."""
    nobody = {"username": None, "password_file": None, "tls": _without_certificate(chosen.tls)}
    stranger = MqttLink(
        chosen.model_copy(update=nobody), client_id=f"dewpoint-doctor-{os.getpid()}-nobody", persistent=False
    )
    try:
        stranger.start()
    except (MqttError, OSError):
        return False
    stranger.stop()
    return True


def _answers_anyone(chosen: RedisSettings) -> bool:
    """Whether Redis answers without name and certificate."""
    nobody = {"username": None, "password_file": None, "tls": _without_certificate(chosen.tls)}
    stranger = RedisLink(chosen.model_copy(update=nobody))
    try:
        stranger.ping()
    except StreamUnavailableError:
        return False
    finally:
        stranger.close()
    return True


def _without_certificate(chosen: TlsSettings) -> TlsSettings:
    return chosen.model_copy(update={"cert_file": None, "key_file": None})


def _plain(loaded: Settings) -> Iterator[Finding]:
    """What travels over a network as it is, for anyone on the way to read and alter."""
    for name, chosen in (("mqtt", loaded.mqtt), ("redis", loaded.redis)):
        if not chosen.tls.enabled and not _is_loopback(chosen.host):
            secret = "; the password too" if chosen.password_file is not None else ""
            detail = f"{chosen.host}:{chosen.port} is spoken to in plain text{secret}"
            yield Finding(f"{name}.tls", "note", detail, f"set {name}.tls.enabled: docs/how-to/security.md")
    if loaded.metrics.port and not _is_loopback(loaded.metrics.host):
        inputs = " and the last inputs" if loaded.edge.inputs_kept else ""
        detail = f"{loaded.metrics.host}:{loaded.metrics.port} shows device names{inputs} to whoever reaches it"
        yield Finding("metrics", "note", detail, "metrics.host = 127.0.0.1, or a network that only Prometheus reaches")


def _traces(loaded: Settings) -> Iterator[Finding]:
    chosen = loaded.traces
    if not chosen.enabled:
        return
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.exporter") is None:
        yield Finding("traces", "wrong", "OpenTelemetry is not installed", "pip install 'dewpoint[traces]'")
    else:
        to = chosen.endpoint or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or "http://localhost:4318"
        yield Finding("traces", "good", f"{chosen.share:.0%} of the samples, to {to.rpartition('@')[2]}")


def _secrets(loaded: Settings) -> Iterator[Finding]:
    files = {
        "mqtt.password_file": loaded.mqtt.password_file,
        "mqtt.tls.key_file": loaded.mqtt.tls.key_file,
        "redis.password_file": loaded.redis.password_file,
        "redis.tls.key_file": loaded.redis.tls.key_file,
        "edge.features_key_file": loaded.edge.features_key_file,
        "cloud.features_key_file": loaded.cloud.features_key_file,
    }
    for setting, path in files.items():
        mode = None if path is None else open_to_others(path)
        if mode is not None:
            detail = f"{path} has mode {mode}: every account of this machine may use it"
            yield Finding(setting, "note", detail, f"chmod o= {path}")
    for setting in ("edge.features_key_file", "cloud.features_key_file"):
        path = files[setting]
        if path is not None:
            try:
                keys = FeatureKeys(path, setting=setting)
            except SettingsError as error:
                yield Finding(setting, "wrong", str(error), "mend the file: docs/how-to/security.md")
            else:
                yield Finding(setting, "good", f"{len(keys.ids)} keys, {keys.ids[0]} encrypts")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _spool(loaded: Settings) -> Iterator[Finding]:
    folder = loaded.edge.spool
    standing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=standing) as file:
            file.write(b"\0")
    except OSError as error:
        remedy = "set edge.spool to a folder on a local disk that the worker may write"
        yield Finding("spool", "wrong", f"{folder}: {error.strerror}", remedy)
        return
    free = shutil.disk_usage(standing).free
    if free < _SPOOL_BYTES_MIN:
        yield Finding("spool", "wrong", f"{folder}: {free / 1e6:,.0f} MB free", "make room: the journal needs 1 GB")
    else:
        made = "" if folder.is_dir() else ", made at the first start"
        yield Finding("spool", "good", f"{folder}: {free / 1e9:,.1f} GB free{made}")


def _clock(loaded: Settings) -> Iterator[Finding]:
    now = time.time()
    told = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    if now < _EARLIEST_NOW:
        yield Finding("clock", "wrong", f"it is {told}, says this machine", "set the clock, best by NTP")
    else:
        yield Finding("clock", "good", told)
