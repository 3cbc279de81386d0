"""What Home Assistant is told of an edge worker's devices."""

from __future__ import annotations

from pydantic import Field

from services.settings.sections import Section

__all__ = ["HomeAssistantSettings"]


class HomeAssistantSettings(Section):
    """Devices announced to Home Assistant by MQTT discovery, each with its first label; for 2024.11 and later."""

    enabled: bool = Field(
        False, description="Announce devices. Switched off, what was announced is removed at the next start."
    )
    prefix: str = Field(
        "homeassistant",
        pattern=r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$",
        max_length=256,
        description="Home Assistant's discovery prefix.",
    )
    provisional: bool = Field(
        False, description="Show provisional labels too, until the final one comes; final labels alone if off."
    )
    devices_max: int = Field(
        256, ge=1, le=10_000, description="Devices announced; the labels of others are published as ever."
    )
    exclude: list[str] = Field(
        default_factory=list,
        max_length=10_000,
        description="Devices that are not announced; one that was is removed at the next start.",
    )
