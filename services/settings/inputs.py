"""What comes in: kinds of messages, windows of readings, and what no message may exceed."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from services.settings.section import Section

__all__ = ["InputSettings", "LimitSettings", "WindowSettings"]


class WindowSettings(Section):
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


class InputSettings(Section):
    """One kind of message that the edge worker takes in."""

    topic: str = Field(
        "dewpoint/{site}/in/{device}",
        description="Topic filter. `{site}` is the site's name; the level `{device}` is the device's name.",
    )
    kind: str = Field(
        "sample",
        min_length=1,
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


class LimitSettings(Section):
    """What no message may exceed."""

    payload_bytes_max: int = Field(4 << 20, ge=64, description="Bytes of an MQTT payload.")
    image_pixels_max: int = Field(16_000_000, ge=1, description="Pixels of a picture, read from its header.")
    reading_rows_max: int = Field(4096, ge=1, description="Rows of readings in one message.")
