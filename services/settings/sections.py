"""Sections that every process has: its site, its connections, and where it can be watched."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from hybrid_model.errors import DewpointError

__all__ = [
    "ConsoleSettings",
    "LogSettings",
    "MetricsSettings",
    "MqttSettings",
    "Name",
    "Port",
    "RedisSettings",
    "Section",
    "SettingsError",
    "SiteSettings",
    "TlsSettings",
    "TracesSettings",
]

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Port = Annotated[int, Field(ge=1, le=65535)]


class SettingsError(DewpointError):
    """A setting is wrong; the message is one line that says which, where and why."""


class Section(BaseModel):
    """Closed to unknown names, and not to be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SiteSettings(Section):
    """Where the edge workers stand."""

    name: Name = Field("site", description="The site's name, a level of every topic.")


class TlsSettings(Section):
    """Encryption of a connection, and who is let in by certificate."""

    enabled: bool = Field(False, description="Speak TLS.")
    ca_file: Path | None = Field(None, description="Certificates that vouch for the server; the system's if unset.")
    cert_file: Path | None = Field(None, description="Our own certificate, where the server asks for one.")
    key_file: Path | None = Field(None, description="The private key of `cert_file`.")


class MqttSettings(Section):
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
    backoff_min_s: float = Field(
        0.5, ge=0.01, le=3600, description="First pause before connecting again; then doubled."
    )
    backoff_max_s: float = Field(20.0, ge=0.01, le=3600, description="Longest pause before connecting again.")
    flush_timeout_s: float = Field(
        5.0, gt=0, le=3600, description="At shutdown, how long publishes may take to be acknowledged."
    )

    @model_validator(mode="after")
    def _password_of_somebody(self) -> Self:
        if self.password_file is not None and self.username is None:
            raise ValueError("password_file needs username: a broker would be told neither")
        return self


class RedisSettings(Section):
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


class MetricsSettings(Section):
    """Where Prometheus finds a process."""

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on.")
    port: int = Field(0, ge=0, le=65535, description="TCP port of /metrics, /healthz and /readyz; 0 switches them off.")
    devices_max: int = Field(256, ge=1, description="Devices with series of their own; the others count as `other`.")


class ConsoleSettings(Section):
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
        for address in workers:
            parts = urlsplit(address)
            if parts.username is not None or parts.password is not None:
                raise ValueError("a password has no place here: addresses are logged and shown")
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:  # above 65535 it raises
                raise ValueError(f"{address[:100]!r} is no address of metrics, as http://127.0.0.1:9464")
        return [address.rstrip("/").removesuffix("/metrics") for address in workers]


class TracesSettings(Section):
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


class LogSettings(Section):
    """What a process tells of itself."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severity that is written.")
    format: Literal["console", "json"] = Field("console", description="For people, or one JSON object a line.")
