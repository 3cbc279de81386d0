"""One typed settings model for every process: a TOML file, the environment, and flags, the later over the former.

    settings = load(Path("dewpoint.toml"), {"edge": {"batch_max": 8}})

Environment variables are `DEWPOINT_SECTION__KEY`, as in `DEWPOINT_MQTT__HOST`; lists are JSON there. Secrets are never
values: a setting names the file that holds one.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError as SourceRefused

__all__ = [
    "AuditSettings",
    "CloudSettings",
    "ConsoleSettings",
    "EdgeSettings",
    "InputSettings",
    "LimitSettings",
    "LogSettings",
    "MetricsSettings",
    "MqttSettings",
    "RedisSettings",
    "Settings",
    "SettingsError",
    "SiteSettings",
    "TlsSettings",
    "TracesSettings",
    "WindowSettings",
    "load",
]

CONFIG_VARIABLE = "DEWPOINT_CONFIG"

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Port = Annotated[int, Field(ge=1, le=65535)]


class SettingsError(Exception):
    """A setting is wrong; the message is one line that says which, where and why."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SiteSettings(_Section):
    """Where the edge workers stand."""

    name: Name = Field("site", description="The site's name, a level of every topic.")


class TlsSettings(_Section):
    """Encryption of a connection, and who is let in by certificate."""

    enabled: bool = Field(False, description="Speak TLS.")
    ca_file: Path | None = Field(None, description="Certificates that vouch for the server; the system's if unset.")
    cert_file: Path | None = Field(None, description="Our own certificate, where the server asks for one.")
    key_file: Path | None = Field(None, description="The private key of `cert_file`.")


class MqttSettings(_Section):
    """The MQTT broker of the site."""

    host: str = Field("127.0.0.1", min_length=1, description="Name or address of the broker.")
    port: Port = Field(1883, description="TCP port of the broker.")
    protocol: Literal["auto", "5", "3.1.1"] = Field(
        "auto", description="MQTT version; `auto` tries 5 and falls back to 3.1.1 where the broker refuses it."
    )
    username: str | None = Field(None, description="User name at the broker.")
    password_file: Path | None = Field(None, description="File that holds the password.")
    tls: TlsSettings = Field(default_factory=TlsSettings, description="Encryption.")
    keepalive_s: int = Field(30, ge=1, le=3600, description="A silent connection is probed after this long.")
    connect_timeout_s: float = Field(5.0, gt=0, le=60, description="Bound of one attempt to connect.")
    session_expiry_s: int = Field(
        7 * 86400, ge=60, le=2**32 - 1, description="How long the broker keeps our session while we are away (MQTT 5)."
    )
    inflight_max: int = Field(256, ge=1, le=65535, description="Published messages that may await acknowledgement.")
    receive_max: int = Field(
        512, ge=1, le=65535, description="Messages the broker may send before we acknowledge (MQTT 5)."
    )
    backoff_min_s: float = Field(0.5, gt=0, description="First pause before connecting again; then doubled.")
    backoff_max_s: float = Field(20.0, gt=0, description="Longest pause before connecting again.")
    flush_timeout_s: float = Field(
        5.0, gt=0, description="At shutdown, how long publishes may take to be acknowledged."
    )


class RedisSettings(_Section):
    """The Redis between edge and cloud."""

    host: str = Field("127.0.0.1", min_length=1, description="Name or address of Redis.")
    port: Port = Field(6379, description="TCP port of Redis.")
    db: int = Field(0, ge=0, description="Database number.")
    username: str | None = Field(None, description="User name at Redis.")
    password_file: Path | None = Field(None, description="File that holds the password.")
    tls: TlsSettings = Field(default_factory=TlsSettings, description="Encryption.")
    timeout_s: float = Field(2.0, gt=0, le=60, description="Bound of every call.")
    partitions: int = Field(1, ge=1, le=1024, description="Streams over which a network's devices are spread.")
    replies_kept_s: float = Field(
        7 * 86400.0,
        ge=60,
        description="How long the replies and streams of a silent edge are kept; one that returns later asks anew.",
    )


class WindowSettings(_Section):
    """How sensor readings become samples."""

    length: int | None = Field(None, ge=1, description="Readings of a window; the bundle's input width if unset.")
    hop: int | None = Field(None, ge=1, description="Readings from one window's start to the next; `length` if unset.")
    max_gap_s: float | None = Field(
        None,
        gt=0,
        description="Readings further apart, by their own times, start a new window; 1.5 sampling periods if unset.",
    )
    marks_kept: int = Field(
        8192, ge=1, description="Messages of a device remembered to recognise redeliveries; above any in-flight limit."
    )

    @model_validator(mode="after")
    def _hop_within_length(self) -> Self:
        if self.length is not None and self.hop is not None and self.hop > self.length:
            raise ValueError(f"hop {self.hop} is greater than length {self.length}")
        return self


class InputSettings(_Section):
    """One kind of message that the edge worker takes in."""

    topic: str = Field(
        "dewpoint/{site}/in/{device}",
        description="Topic filter. `{site}` is the site's name; the level `{device}` is the device's name.",
    )
    kind: Literal["sample", "image", "array", "sensor"] = Field(
        "sample",
        description="`sample`: our envelope; `image`: JPEG, PNG or WebP bytes; `array`: raw little-endian bytes; "
        "`sensor`: JSON readings.",
    )
    qos: Literal[0, 1] = Field(1, description="Quality of service of the subscription.")
    overload: Literal["hold", "drop_oldest"] = Field(
        "hold",
        description="When samples come faster than they are handled: let the broker hold them, or drop the oldest.",
    )
    queue_max: int = Field(64, ge=1, description="With `drop_oldest`: samples of this input that may wait.")
    deadline_s: float | None = Field(
        None, gt=0, description="How long a hard sample may wait for the cloud; `edge.deadline_s` if unset."
    )
    fit: Literal["exact", "resize"] = Field(
        "exact", description="Pictures of another size than the network's: refuse them, or scale them."
    )
    shape: tuple[int, ...] | None = Field(
        None, description="`array`: shape of the raw bytes; the bundle's input shape if unset."
    )
    dtype: Literal["uint8", "float32"] | None = Field(
        None, description="`array`: type of the raw bytes; the bundle's input type if unset."
    )
    window: WindowSettings = Field(default_factory=WindowSettings, description="`sensor`: how readings become samples.")

    @field_validator("topic")
    @classmethod
    def _one_device_level(cls, topic: str) -> str:
        levels = topic.split("/")
        if levels.count("{device}") != 1:
            raise ValueError("needs exactly one level {device}")
        if any("#" in level and (level != "#" or i < len(levels) - 1) for i, level in enumerate(levels)):
            raise ValueError("# stands alone as the last level")
        if any("+" in level and level != "+" for level in levels):
            raise ValueError("+ stands alone in its level")
        return topic


class AuditSettings(_Section):
    """Confident samples that the cloud checks, without an answer."""

    share: float = Field(
        0.01, ge=0, le=1, description="Share of the confident samples, chosen at random; 0 switches audits off."
    )
    queue_length_max: int = Field(
        10_000, ge=1, le=1_000_000, description="Entries in the audit stream above which audits are dropped."
    )

    @field_validator("share")
    @classmethod
    def _none_or_some(cls, share: float) -> float:
        if 0 < share < 1e-6:
            raise ValueError("is 0, or at least 0.000001")
        return share


class ControlSettings(_Section):
    """What the exits are held at, as long as no set-point has come by MQTT."""

    mode: Literal["fixed", "budget"] = Field(
        "fixed", description="Hold a point of the bundle's calibrated path, or keep a budget."
    )
    point: int | None = Field(
        None,
        ge=0,
        description="The point that is held, with a budget for latency the one held while that is kept; the bundle's "
        "working point if unset.",
    )
    budget: (
        Literal["escalated_share", "escalations_per_s", "energy_j_per_sample", "bytes_per_day", "latency_p99_ms"] | None
    ) = Field(None, description="`budget`: the quantity to keep, of this worker.")
    value: float | None = Field(None, ge=0, allow_inf_nan=False, description="`budget`: how much of it.")
    allow_uncalibrated: bool = Field(False, description="Take points of the path that did not pass calibration, too.")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.mode == "budget" and (self.budget is None or self.value is None):
            raise ValueError("mode = 'budget' needs budget and value, such as budget = 'escalated_share', value = 0.2")
        if self.mode == "fixed" and (self.budget is not None or self.value is not None):
            raise ValueError("budget and value need mode = 'budget'")
        return self


class EdgeSettings(_Section):
    """The edge worker."""

    bundle: str = Field("digits", min_length=1, description="The network: a .dew file, or the name of a shipped one.")
    worker: Name | None = Field(None, description="The worker's name; if unset, one is made and kept in the spool.")
    spool: Path = Field(Path("spool"), description="Folder of the worker's identity and journal; one worker each.")
    inputs: list[InputSettings] = Field(
        default_factory=lambda: [InputSettings()], min_length=1, description="What is taken in."
    )
    batch_max: int = Field(32, ge=1, le=4096, description="Samples computed together at most.")
    linger_ms: float = Field(2.0, ge=0, le=1000, description="How long a batch that is not full waits for more.")
    inbox_max: int = Field(1024, ge=1, description="Messages received and not yet handled.")
    inbox_bytes_max: int = Field(64 << 20, ge=1 << 16, description="Bytes received and not yet handled.")
    threads: int = Field(1, ge=1, le=256, description="Threads of the edge engine.")
    thresholds: list[float] | None = Field(None, description="Exit thresholds in place of the bundle's, one an exit.")
    control: ControlSettings = Field(default_factory=ControlSettings, description="Where the exits stand.")
    provisional: bool = Field(True, description="Publish the edge's label of a hard sample at once.")
    correction: bool = Field(False, description="Publish a cloud answer that comes after the final, as `correction`.")
    deadline_s: float | None = Field(
        None, gt=0, description="How long a hard sample may wait for the cloud; for ever if unset."
    )
    queue_length_max: int = Field(
        100_000, ge=1, description="Entries in the feature stream above which hard samples keep the edge's label."
    )
    queue_age_max_s: float | None = Field(
        None, gt=0, description="Age of the feature stream's oldest entry above which they do; any age if unset."
    )
    queue_bytes_max: int = Field(
        256 << 20, ge=1 << 16, description="Memory of the feature stream above which they do; below Redis' `maxmemory`."
    )
    resend_per_s: float = Field(
        200.0, gt=0, description="Hard samples that are sent again in a second, after Redis or its data were lost."
    )
    waiting_max: int = Field(
        200_000, ge=1, description="Hard samples that may await the cloud; beyond, the surest keep the edge's label."
    )
    dedupe_window_s: float = Field(
        86400.0, gt=0, description="Connected time for which finished samples are remembered."
    )
    journal_bytes_max: int = Field(
        512 << 20,
        ge=4 << 20,
        description="Size of the journal's files. Finished samples are forgotten early to keep it; hard samples that "
        "await the cloud may take half of it, beyond, the surest keep the edge's label.",
    )
    window_devices_max: int = Field(
        10_000,
        ge=1,
        description="Devices whose readings are joined into windows; beyond, those silent the longest are forgotten. "
        "Fewer, where their readings would take a quarter of `journal_bytes_max`.",
    )
    durability: Literal["process", "power"] = Field(
        "process", description="What a committed sample survives: the process's end, or the loss of power too (slower)."
    )
    batch_timeout_s: float = Field(
        60.0,
        gt=0,
        description="A batch that takes longer ends the worker's process; so does another step, such as a commit, "
        "after twice as long.",
    )
    max_deliveries: int = Field(
        3, ge=1, description="Lone attempts after which a message that ends the worker each time is rejected."
    )
    drain_s: float = Field(10.0, gt=0, description="At shutdown, how long the batch in hand may take.")
    features_key_file: Path | None = Field(
        None, description="File of keys; features are encrypted under the first. Needs the extra `encryption`."
    )
    audit: AuditSettings = Field(
        default_factory=AuditSettings, description="Confident samples that the cloud checks, without an answer."
    )
    inputs_kept: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Last inputs kept in memory for `dewpoint explain`; whoever reaches the metrics address sees them.",
    )
    inputs_kept_bytes_max: int = Field(64 << 20, ge=1 << 16, description="Memory that those may take.")


class CloudSettings(_Section):
    """The cloud workers."""

    bundles: list[str] = Field(
        default_factory=list,
        description="Bundle files, folders of them, or names of shipped ones; all shipped ones if empty.",
    )
    worker: Name | None = Field(None, description="The worker's name; if unset, one is made at each start.")
    device: str = Field("cpu", description="Where torch computes: `cpu`, `cuda`, `cuda:1`, ...")
    threads: int | None = Field(None, ge=1, le=1024, description="Threads of torch; its own choice if unset.")
    batch_max: int = Field(32, ge=1, le=65536, description="Samples computed together at most.")
    linger_ms: float = Field(5.0, ge=0, le=10_000, description="How long a batch that is not full waits for more.")
    lease_s: float = Field(30.0, gt=0, description="Entries that a worker leaves idle for this long go to another.")
    batch_timeout_s: float = Field(60.0, gt=0, description="A batch that takes longer ends its worker.")
    max_deliveries: int = Field(3, ge=1, description="Lone attempts after which an entry is a dead letter.")
    dead_letters_max: int = Field(
        10_000, ge=1, description="Dead letters of a stream above which the oldest are forgotten."
    )
    dead_letters_bytes_max: int = Field(
        64 << 20, ge=1 << 16, description="Bytes of a stream's dead letters above which the oldest are forgotten."
    )
    features_key_file: Path | None = Field(
        None, description="File of keys; features encrypted under any of them are read. Needs the extra `encryption`."
    )
    encrypted_only: bool = Field(False, description="Refuse features that are not encrypted: they are dead letters.")

    @model_validator(mode="after")
    def _keys_for_encrypted(self) -> Self:
        if self.encrypted_only and self.features_key_file is None:
            raise ValueError("encrypted_only needs features_key_file")
        return self


class MetricsSettings(_Section):
    """Where Prometheus finds a process."""

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on.")
    port: int = Field(0, ge=0, le=65535, description="TCP port of /metrics, /healthz and /readyz; 0 switches them off.")
    devices_max: int = Field(256, ge=1, description="Devices with series of their own; the others count as `other`.")


class ConsoleSettings(_Section):
    """The live page, `dewpoint console`."""

    host: str = Field(
        "127.0.0.1", min_length=1, description="Address to listen on; another than loopback needs a token."
    )
    port: Port = Field(8080, description="TCP port of the page.")
    token_file: Path | None = Field(
        None, description="File that holds the token, 16 characters or more, with which people come in."
    )
    workers: list[str] = Field(
        default_factory=list,
        max_length=256,
        description="Where the workers show their metrics, as `http://127.0.0.1:9464`; asked once a second.",
    )
    pictures_kept: int = Field(
        1000, ge=1, le=100_000, description="Latest samples kept in memory with their inputs; 64 MiB of these at most."
    )

    @field_validator("workers")
    @classmethod
    def _addresses(cls, workers: list[str]) -> list[str]:
        for one in workers:
            parts = urlsplit(one)
            if parts.username is not None or parts.password is not None:
                raise ValueError("a password has no place here: addresses are logged and shown")
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:  # above 65535 it raises
                raise ValueError(f"{one[:100]!r} is no address of metrics, as http://127.0.0.1:9464")
        return [one.rstrip("/").removesuffix("/metrics") for one in workers]


class LimitSettings(_Section):
    """What no message may exceed."""

    payload_bytes_max: int = Field(4 << 20, ge=64, description="Bytes of an MQTT payload.")
    image_pixels_max: int = Field(16_000_000, ge=1, description="Pixels of a picture, read from its header.")
    reading_rows_max: int = Field(4096, ge=1, description="Rows of readings in one message.")


class TracesSettings(_Section):
    """One trace a sample, sent by OTLP over HTTP. Needs the extra `traces`."""

    enabled: bool = Field(False, description="Record traces.")
    endpoint: str | None = Field(
        None,
        description="Base URL of the collector, as http://127.0.0.1:4318; $OTEL_EXPORTER_OTLP_ENDPOINT if unset.",
    )
    share: float = Field(
        1.0, ge=0, le=1, description="Share of the samples that are traced; a publisher's own choice goes before."
    )

    @field_validator("endpoint")
    @classmethod
    def _an_address(cls, endpoint: str | None) -> str | None:
        if endpoint is not None:
            parts = urlsplit(endpoint)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("a collector's address is http://HOST:PORT or https://HOST:PORT")
            if parts.username is not None or parts.password is not None:
                raise ValueError("a password has no place here; $OTEL_EXPORTER_OTLP_HEADERS can hold one")
        return endpoint


class LogSettings(_Section):
    """What a process tells of itself."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severity that is written.")
    format: Literal["console", "json"] = Field("console", description="For people, or one JSON object a line.")


class Settings(BaseSettings):
    """Everything that can be set, by section. `load` reads file and environment; this class alone reads neither."""

    model_config = SettingsConfigDict(env_prefix="DEWPOINT_", env_nested_delimiter="__", extra="forbid", frozen=True)

    site: SiteSettings = Field(default_factory=SiteSettings)
    mqtt: MqttSettings = Field(default_factory=MqttSettings)
    redis: RedisSettings = Field(default_factory=RedisSettings)
    edge: EdgeSettings = Field(default_factory=EdgeSettings)
    cloud: CloudSettings = Field(default_factory=CloudSettings)
    metrics: MetricsSettings = Field(default_factory=MetricsSettings)
    console: ConsoleSettings = Field(default_factory=ConsoleSettings)
    limits: LimitSettings = Field(default_factory=LimitSettings)
    traces: TracesSettings = Field(default_factory=TracesSettings)
    log: LogSettings = Field(default_factory=LogSettings)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is given: `load` puts file, environment and flags together."""
        return (init_settings,)


def load(path: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """The settings of this process.

    Args:
        path: A TOML file; if none, the file that $DEWPOINT_CONFIG names; if that is unset, no file.
        overrides: Nested as the sections are, as in `{"mqtt": {"port": 1884}}`; entries of None are left out.

    Raises:
        SettingsError: for a file that cannot be read, an unknown key or a wrong value.
    """
    if path is None and os.environ.get(CONFIG_VARIABLE):
        path = Path(os.environ[CONFIG_VARIABLE])
    content = {} if path is None else _read(path)
    try:
        environment = EnvSettingsSource(Settings)()
        return Settings(**_merged(_merged(content, environment), overrides or {}))
    except ValidationError as error:
        raise SettingsError(_one_line(error, path)) from None
    except SourceRefused as error:
        raise SettingsError(f"settings in the environment: {error}") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"settings file {path}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        if value is None:
            continue
        if isinstance(value, Mapping):
            below = result.get(key)
            result[key] = _merged(below if isinstance(below, Mapping) else {}, value)
        else:
            result[key] = value
    return result


def _one_line(error: ValidationError, path: Path | None) -> str:
    said = []
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":  # its value stays unsaid: it may be a password
            said.append(f"{where}: no such setting")
        else:
            value = f" (is {problem['input']!r})"[:120] if _shows(problem["input"]) else ""
            said.append(f"{where}: {problem['msg'].removeprefix('Value error, ')}{value}")
    source = "settings" if path is None else f"settings ({path} and environment)"
    return f"{source}: " + "; ".join(said).replace("\n", " ")


def _shows(value: object) -> bool:
    with_account = isinstance(value, str) and "://" in value and "@" in value
    return isinstance(value, str | int | float | bool) and not with_account
