"""Where a process can be watched: metrics, console, traces, log."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from services.settings.section import Port, Section

__all__ = ["ConsoleSettings", "LogSettings", "MetricsSettings", "TracesSettings"]


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
        for one in workers:
            parts = urlsplit(one)
            if parts.username is not None or parts.password is not None:
                raise ValueError("a password has no place here: addresses are logged and shown")
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:  # above 65535 it raises
                raise ValueError(f"{one[:100]!r} is no address of metrics, as http://127.0.0.1:9464")
        return [one.rstrip("/").removesuffix("/metrics") for one in workers]


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
