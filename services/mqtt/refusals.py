"""Why a broker does not let us in, in words that say what to do."""

from __future__ import annotations

from typing import Final

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from services.security import tls
from services.settings import MqttSettings

__all__ = ["closed", "failed", "of_publish", "refused"]

_BAD_CREDENTIALS: Final = (134, 135)


def failed(settings: MqttSettings, error: BaseException) -> str:
    """No connection came about."""
    explained = tls.explain(error, settings.tls, section="mqtt", host=settings.host)
    if explained is None and settings.tls.enabled and isinstance(error, ConnectionResetError):
        return f"{_reason(error)}: the port may not speak TLS; name the encrypted one in mqtt.port"
    return explained or _reason(error)


def closed(settings: MqttSettings, error: BaseException | None) -> str:
    """The broker ended the connection instead of answering; `error`: the socket's last, if it had any."""
    if error is not None and settings.tls.enabled:
        return failed(settings, error)
    if not settings.tls.enabled:
        remedy = tls.NOT_TLS.format(section="mqtt")
    elif settings.tls.cert_file is None:
        remedy = tls.CERTIFICATE_ASKED_FOR.format(section="mqtt")
    else:
        remedy = "its log says why"
    return f"closed the connection without an answer: {remedy}"


def refused(settings: MqttSettings, reason: ReasonCode) -> str:
    """The broker answered no."""
    if reason.value not in _BAD_CREDENTIALS:
        return str(reason)
    remedy = "mqtt.username and mqtt.password_file must be those that it knows"
    if settings.username is None:
        remedy = "it wants a name; set mqtt.username and mqtt.password_file"
    return f"{reason}: {remedy}"


def of_publish(reason: int) -> str:
    """The broker does not take a message."""
    try:
        return str(ReasonCode(PacketTypes.PUBACK, identifier=reason))
    except (KeyError, ValueError, AssertionError):
        return f"reason code 0x{reason:02x}"


def _reason(error: BaseException) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)
