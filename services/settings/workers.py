"""The edge worker, with what it takes in, its audits and its exit control; and the cloud workers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, field_validator, model_validator

from services.budgets import BUDGETS
from services.settings.home_assistant import HomeAssistantSettings
from services.settings.inputs import FieldSettings, JoinSettings
from services.settings.sections import Name, Section

__all__ = [
    "AuditSettings",
    "CloudSettings",
    "ControlSettings",
    "EdgeSettings",
    "InputSettings",
    "LimitSettings",
    "NetworkSettings",
    "WindowSettings",
]

if TYPE_CHECKING:
    BudgetName = str
else:  # pydantic reads the names from it; a type checker would want them written out a second time
    BudgetName = Literal[tuple(BUDGETS)]


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
        description="Topic filter. `{site}` is the site's name; the level `{device}` is the device's name, and with "
        "`join` the level `{channel}` the channel's.",
    )
    kind: str = Field(
        "sample",
        min_length=1,
        description="`sample`: our envelope; `image`: JPEG, PNG or WebP bytes; `array`: raw little-endian bytes; "
        "`sensor`: JSON readings.",
    )
    bundle: str | None = Field(
        None,
        min_length=1,
        description="The network that answers this input: a .dew file, or the name of a shipped one; `edge.bundle` if "
        "unset.",
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
    escalate_min_s: float | None = Field(
        None,
        gt=0,
        description="At most one hard sample a device rises in this time, the others keep the edge's label "
        "(`rate_limited`); all rise if unset.",
    )
    reuse: bool = Field(
        False,
        description="Where the features of a hard sample are all but those of the device's last one that the cloud "
        "answered, take that answer (`reused`).",
    )
    reuse_bits: int | None = Field(
        None, ge=0, description="`reuse`: bits of the features that may differ; as the bundle was calibrated, if unset."
    )
    reuse_s: float = Field(30.0, gt=0, description="`reuse`: how long an answer is taken for those of later samples.")
    reuse_samples_max: int = Field(100, ge=1, description="`reuse`: samples in a row that may take it.")
    encoding: Literal["binary", "base64"] = Field(
        "binary", description="`image`, `array`: the bytes as they are, or as text: base64, or a data URL."
    )
    fit: Literal["exact", "resize", "crop", "letterbox"] = Field(
        "exact",
        description="Pictures of another size than the network's: refuse them, stretch them, cut their middle out in "
        "the network's proportions and scale it, or scale them whole and fill the rest with `background`.",
    )
    roi: list[float] | None = Field(
        None,
        min_length=4,
        max_length=4,
        description="The part of an upright picture that counts, as fractions of it: left, top, right, bottom.",
    )
    background: list[int] = Field(
        default=[255, 255, 255],
        min_length=3,
        max_length=3,
        description="Red, green and blue under transparent parts, and beside a picture with `letterbox`.",
    )
    range: list[float] | None = Field(
        None,
        min_length=2,
        max_length=2,
        description="Grey pictures: the values that become black and white, as [0, 65535] for all 16 bits; without it "
        "pictures of more than 8 bits are refused.",
    )
    truncated: Literal["reject", "accept"] = Field(
        "reject", description="A JPEG whose end is missing: refuse it, or take what is missing for grey."
    )
    channels: Literal["rgb", "bgr"] = Field(
        "rgb", description="Order of the colours in what is sent; the network takes red first."
    )
    layout: Literal["hwc", "chw"] = Field(
        "hwc", description="`array`: order of height, width and channels in what is sent; the network takes `hwc`."
    )
    scale: Literal["0..255", "0..1"] | None = Field(
        None,
        description="`array`: the range of what is sent, to be brought to 0 to 255 in the bundle's type; if unset, "
        "values are taken as they are, and are of the bundle's type.",
    )
    shape: tuple[int, ...] | None = Field(
        None,
        description="`array`: shape of the raw bytes, of the order that `layout` says; the bundle's input shape if "
        "unset.",
    )
    dtype: Literal["uint8", "float32"] | None = Field(
        None, description="`array`: type of the raw bytes; the bundle's input type if unset."
    )
    fields: FieldSettings = Field(
        default_factory=FieldSettings, description="`image`, `sensor`: where things are in a payload of JSON."
    )
    join: JoinSettings | None = Field(None, description="`sensor`: one channel a topic, joined to rows.")
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
        if levels.count("{channel}") > 1:
            raise ValueError("needs one level {channel} at most")
        return topic

    @field_validator("roi")
    @classmethod
    def _part_of_it(cls, roi: list[float] | None) -> list[float] | None:
        if roi is not None and not (0 <= roi[0] < roi[2] <= 1 and 0 <= roi[1] < roi[3] <= 1):
            raise ValueError("is left, top, right, bottom, with 0 <= left < right <= 1 and 0 <= top < bottom <= 1")
        return roi

    @field_validator("background")
    @classmethod
    def _a_colour(cls, background: list[int]) -> list[int]:
        if not all(0 <= level <= 255 for level in background):
            raise ValueError("is red, green and blue, each from 0 to 255")
        return background

    @field_validator("range")
    @classmethod
    def _from_low_to_high(cls, values: list[float] | None) -> list[float] | None:
        if values is not None and not (math.isfinite(values[0]) and math.isfinite(values[1]) and values[0] < values[1]):
            raise ValueError("is the value of black, then the greater one of white")
        return values

    @model_validator(mode="after")
    def _channels_by_topic(self) -> Self:
        by_topic = "{channel}" in self.topic.split("/")
        if self.join is None and by_topic:
            raise ValueError("the level {channel} in the topic needs a section join")
        if self.join is not None and not by_topic:
            raise ValueError("join needs one level {channel} in the topic")
        return self


class LimitSettings(Section):
    """What no message may exceed."""

    payload_bytes_max: int = Field(4 << 20, ge=64, description="Bytes of an MQTT payload.")
    image_pixels_min: int = Field(
        64, ge=1, description="Pixels below which a picture is not scaled up, of the part that `roi` says."
    )
    image_pixels_max: int = Field(16_000_000, ge=1, description="Pixels of a picture, read from its header.")
    reading_rows_max: int = Field(4096, ge=1, description="Rows of readings in one message.")


class AuditSettings(Section):
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


class ControlSettings(Section):
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
    budget: BudgetName | None = Field(None, description="`budget`: the quantity to keep, of this worker.")
    value: float | None = Field(None, ge=0, allow_inf_nan=False, description="`budget`: how much of it.")
    allow_uncalibrated: bool = Field(False, description="Take points of the path that did not pass calibration, too.")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.mode == "budget" and (self.budget is None or self.value is None):
            raise ValueError("mode = 'budget' needs budget and value, such as budget = 'escalated_share', value = 0.2")
        if self.mode == "fixed" and (self.budget is not None or self.value is not None):
            raise ValueError("budget and value need mode = 'budget'")
        return self


class NetworkSettings(Section):
    """What holds for one of several networks, in place of what `[edge]` says of all."""

    bundle: str = Field(min_length=1, description="Which: a bundle as `edge.bundle` or an input names it.")
    thresholds: list[float] | None = Field(None, description="As `edge.thresholds`, of this network.")
    control: ControlSettings | None = Field(None, description="As `edge.control`, of this network.")
    guard: bool | None = Field(None, description="As `edge.guard`, of this network.")


class EdgeSettings(Section):
    """The edge worker."""

    bundle: str = Field("digits", min_length=1, description="The network: a .dew file, or the name of a shipped one.")
    worker: Name | None = Field(None, description="The worker's name; if unset, one is made and kept in the spool.")
    spool: Path = Field(Path("spool"), description="Folder of the worker's identity and journal; one worker each.")
    inputs: list[InputSettings] = Field(
        default_factory=lambda: [InputSettings()], min_length=1, description="What is taken in."
    )
    networks: list[NetworkSettings] = Field(
        default_factory=list,
        description="Where inputs name bundles of their own: what holds for one of the networks alone.",
    )
    batch_max: int = Field(32, ge=1, le=4096, description="Samples computed together at most.")
    linger_ms: float = Field(2.0, ge=0, le=1000, description="How long a batch that is not full waits for more.")
    inbox_max: int = Field(1024, ge=1, description="Messages received and not yet handled.")
    inbox_bytes_max: int = Field(64 << 20, ge=1 << 16, description="Bytes received and not yet handled.")
    threads: int = Field(1, ge=1, le=256, description="Threads of the edge engine.")
    thresholds: list[float] | None = Field(None, description="Exit thresholds in place of the bundle's, one an exit.")
    control: ControlSettings = Field(default_factory=ControlSettings, description="Where the exits stand.")
    guard: bool = Field(
        True,
        description="Let no sample leave that is out of the network's domain, however sure an exit is of it; off: "
        "samples leave by score alone.",
    )
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
    label_top: int = Field(
        0,
        ge=0,
        le=1000,
        description="How many of the most probable classes labels carry, with their probabilities; 0: the label alone.",
    )
    label_sinks: list[str] = Field(
        default_factory=lambda: ["mqtt"],
        min_length=1,
        description="Where labels go. `mqtt`: the broker. `plain`: class and confidence of finals as plain text, there "
        "too. A sample is finished when each has taken its final label; one without room for long holds up the others.",
    )
    home_assistant: HomeAssistantSettings = Field(
        default_factory=HomeAssistantSettings, description="Devices are announced to Home Assistant."
    )

    @model_validator(mode="after")
    def _labels_for_home_assistant(self) -> Self:
        if self.home_assistant.enabled and "mqtt" not in self.label_sinks:
            raise ValueError("home_assistant.enabled needs 'mqtt' in label_sinks: its entities read those labels")
        return self

    @property
    def bundles(self) -> list[str]:
        """The bundles that inputs are answered by, each once, in the order of the inputs."""
        return list(dict.fromkeys(each.bundle or self.bundle for each in self.inputs))

    def of_network(self, bundle: str) -> EdgeSettings:
        """These settings as they hold for the network of `bundle`."""
        for own in self.networks:
            if own.bundle == bundle:
                given = {name: getattr(own, name) for name in ("thresholds", "control", "guard")}
                return self.model_copy(update={name: value for name, value in given.items() if value is not None})
        return self

    @model_validator(mode="after")
    def _networks_in_use(self) -> Self:
        for own in self.networks:
            if own.bundle not in self.bundles:
                raise ValueError(f"networks: no input is answered by {own.bundle!r}, only by {', '.join(self.bundles)}")
        return self

    def deadline_of(self, input_index: int) -> float | None:
        """How long a hard sample of this input may wait for the cloud, seconds; None for ever."""
        own_s = self.inputs[input_index].deadline_s
        return self.deadline_s if own_s is None else own_s


class CloudSettings(Section):
    """The cloud workers."""

    bundles: list[str] = Field(
        default_factory=list,
        description="Bundle files, folders of them, or names of shipped ones; all shipped ones if empty.",
    )
    worker: Name | None = Field(None, description="The worker's name; if unset, one is made at each start.")
    device: str = Field("cpu", description="Where torch computes: `cpu`, `cuda`, `cuda:1`, ...")
    threads: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Threads of torch; if unset, one for a small network, else one a processor that it may use.",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto",
        description="How networks compute. `auto`: in bfloat16 where the bundle says that the classes agree, `device`"
        " has instructions for it, and a short trial at load finds it faster; else in float32.",
    )
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
