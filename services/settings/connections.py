"""The site, its MQTT broker, Redis, and how they are reached."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from services.settings.section import Name, Port, Section

__all__ = ["MqttSettings", "RedisSettings", "SiteSettings", "TlsSettings"]


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
    backoff_min_s: float = Field(0.5, gt=0, description="First pause before connecting again; then doubled.")
    backoff_max_s: float = Field(20.0, gt=0, description="Longest pause before connecting again.")
    flush_timeout_s: float = Field(
        5.0, gt=0, description="At shutdown, how long publishes may take to be acknowledged."
    )


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
