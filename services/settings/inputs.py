"""Where things are in what an input takes in: fields of JSON, and channels that come by topics of their own."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from services.settings.sections import Section

__all__ = ["FieldSettings", "JoinSettings", "TimeUnit"]

TimeUnit = Literal["s", "ms", "us", "ns", "iso8601"]
Missing = Literal["reject", "hold"] | Annotated[float, Field(allow_inf_nan=False)]


class FieldSettings(Section):
    """Where things are in a payload of JSON, by JMESPath."""

    values: list[str] = Field(
        default_factory=list,
        description="`sensor`: a path for each channel, in the bundle's order, to a number or a list of numbers, a row "
        "each; a single path for all channels may lead to a row or to rows. With `join`: one path for every topic, or "
        "one for each.",
    )
    image: str | None = Field(None, description="`image`: path to the picture, as base64 or a data URL.")
    time: str | None = Field(None, description="Path to the time of the picture, or of the message's first row.")
    time_unit: TimeUnit = Field(
        "s", description="Unit of that time since 1970, UTC; or a date of ISO 8601, in UTC where it names no offset."
    )
    id: str | None = Field(
        None, description="`image`: path to the sample's id, text or an integer; the same id again is a redelivery."
    )
    seq: str | None = Field(None, description="`sensor`: path to the number of the message's first row.")
    when: str | None = Field(
        None,
        description="Path that finds something in the messages that are meant; those in which it finds null, false or "
        "nothing are counted (`not_meant`) and left alone.",
    )
    missing: Missing | list[Missing] = Field(
        "reject",
        description='`sensor`: what a value that is null, not there, `"unavailable"` or `"unknown"` becomes: `reject` '
        "the message, `hold` the channel's last value, or a number; one for all channels, or a list of one for each.",
    )
    hold_s: float | None = Field(None, gt=0, description="How old a held value may be; needed with `hold`.")
    booleans: bool = Field(False, description="Take true for 1 and false for 0.")

    @property
    def mapped(self) -> bool:
        """Whether a payload is read in another way than our own JSON."""
        paths = self.values or self.image or self.time or self.id or self.seq or self.when
        return bool(paths) or self.missing != "reject" or self.booleans

    def missing_of(self, channel: int) -> Literal["reject", "hold"] | float:
        """What a missing value of a channel becomes."""
        return self.missing[channel] if isinstance(self.missing, list) else self.missing

    @property
    def holds(self) -> bool:
        """Whether a channel's last value may be taken again."""
        return "hold" in (self.missing if isinstance(self.missing, list) else [self.missing])

    @model_validator(mode="after")
    def _hold_bounded(self) -> Self:
        if self.holds and self.hold_s is None:
            raise ValueError("missing = 'hold' needs hold_s, as hold_s = 60.0")
        return self


class JoinSettings(Section):
    """One channel a topic, joined to rows by sample-and-hold at a fixed period."""

    channels: list[str] = Field(
        default_factory=list,
        description="What the level `{channel}` is for each channel, in the bundle's order; the bundle's own names of "
        "its channels if empty.",
    )
    period_s: float | None = Field(
        None, gt=0, description="From one row to the next; the bundle's sampling period if unset."
    )
    late_s: float = Field(
        0.0, ge=0, description="How long a row waits for values that come late or out of order, by the values' times."
    )
    hold_s: float | None = Field(
        None, gt=0, description="How old a channel's value may be in a row; ten periods if unset. Older: a gap."
    )

    @field_validator("channels")
    @classmethod
    def _each_once(cls, channels: list[str]) -> list[str]:
        if len(set(channels)) != len(channels):
            raise ValueError("names a channel twice")
        return channels
