"""Architectures by family: CIFAR ResNets, a wide low-bit net for 32x32 images, small nets for digits and sensors;
and the network that teaches them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from hybrid_model.nn.architecture import Architecture, Bits, CutSpec, ExitSpec, StemSpec, UnitSpec
from hybrid_model.nn.whitened import WhitenedSpec

#: CIFAR's channel means as whole grey levels: an integer zero point lets an 8-bit stem pad with exact zeros.
CIFAR_ZERO_POINT = (125.0, 123.0, 114.0)
CIFAR_SCALE = (1 / 64.0, 1 / 64.0, 1 / 64.0)


def resnet(
    *,
    depth: int = 32,
    widths: Sequence[int] = (16, 32, 64),
    classes: int = 10,
    edge_convolutions: int = 16,
    weight_bits: Bits = 1,
    activation_bits: Bits = 1,
    exits_after: Sequence[int] | None = None,
    exit_pool: tuple[int, int] | None = (3, 3),
    cut_channels: int | None = None,
    cut_bits: Literal[1, 2, 3, 4] = 1,
) -> Architecture:
    """The CIFAR ResNet family (He et al. 2016, section 4.2): three stages of (depth - 2) / 6 basic units.

    The first `edge_convolutions` quantized convolutions are the edge; the stem, shortcuts and exits stay in full
    precision. `exits_after` counts units; by default one exit stands at the cut.
    """
    if depth % 6 != 2:
        raise ValueError(f"a CIFAR ResNet has 6n + 2 layers (20, 32, 44, ...), not {depth}")
    if edge_convolutions % 2:
        raise ValueError(f"units have two convolutions each: {edge_convolutions} edge convolutions end inside one")
    per_stage = (depth - 2) // 6
    edge_units = edge_convolutions // 2
    units = []
    for number in range(3 * per_stage):
        stage, first = divmod(number, per_stage)
        on_edge = number < edge_units
        units.append(
            UnitSpec(
                kind="basic",
                channels=widths[stage],
                stride=(2, 2) if stage > 0 and first == 0 else (1, 1),
                weight_bits=weight_bits if on_edge else 32,
                activation_bits=activation_bits if on_edge else 32,
            )
        )
    return Architecture(
        input_shape=(32, 32, 3),
        input_dtype="uint8",
        zero_point=CIFAR_ZERO_POINT,
        scale=CIFAR_SCALE,
        classes=classes,
        stem=StemSpec(channels=widths[0]),
        units=tuple(units),
        exits=tuple(ExitSpec(after=a, pool=exit_pool) for a in (exits_after or (edge_units,))),
        cut=CutSpec(after=edge_units, channels=cut_channels, bits=cut_bits),
    )


def wide_edge(
    *,
    classes: int = 10,
    stem_channels: int = 96,
    edge_widths: Sequence[tuple[int, int]] = ((96, 2), (192, 3)),
    edge_bits: Literal[1, 2, 4, 8] = 1,
    exits_after: Sequence[int] | None = None,
    cut_channels: int | None = 32,
    cut_bits: Literal[1, 2, 3, 4] = 1,
    cloud_widths: Sequence[tuple[int, int]] = ((128, 1), (256, 2)),
    dropout: float = 0.0,
    input_size: int = 32,
    stem_side: Literal[16, 32] = 16,
    stem_kernel: int | None = None,
) -> Architecture:
    """A wide low-bit edge under an 8-bit stem with a stride, and a narrower full-precision cloud half, for pictures of
    `input_size` x `input_size` pixels.

    The stem brings a picture of any size to `stem_side` x `stem_side`: a large picture costs little more than a small
    one. Its kernel is two pixels wider than its stride, if not given. From 32x32 one more Bi-Real unit of stride 2, in
    front of the others, leads to 16x16 and from `stem_channels` to the first width.
    `edge_widths`: (channels, units) per stage, at 16x16, 8x8, ...: Bi-Real units at one bit, basic units at more, all
    with shortcuts that repeat channels instead of multiplying; each width is a multiple of the one before.
    `cloud_widths`: (channels, stride) of one basic unit each. Raises ValueError for a size that the stem cannot divide.
    """
    stride, rest = divmod(input_size, stem_side)
    if rest or not stride:
        raise ValueError(f"an input_size is a multiple of {stem_side}, not {input_size}")
    kernel = stem_kernel or stride + 2
    if not stride <= kernel <= 3 * stride:
        raise ValueError(f"a stem of stride {stride} takes a kernel of {stride} to {3 * stride} pixels, not {kernel}")
    padding = (kernel - stride + 1) // 2
    units: list[UnitSpec] = []
    if stem_side == 32:
        units.append(
            UnitSpec(
                kind="bireal",
                channels=edge_widths[0][0],
                stride=(2, 2),
                weight_bits=edge_bits,
                activation_bits=edge_bits,
                shortcut="repeat",
            )
        )
    for stage, (channels, count) in enumerate(edge_widths):
        for number in range(count):
            units.append(
                UnitSpec(
                    kind="bireal" if edge_bits == 1 else "basic",
                    channels=channels,
                    stride=(2, 2) if stage > 0 and number == 0 else (1, 1),
                    weight_bits=edge_bits,
                    activation_bits=edge_bits,
                    shortcut="repeat",
                )
            )
    edge_units = len(units)
    units += [UnitSpec(kind="basic", channels=width, stride=(step, step)) for width, step in cloud_widths]
    return Architecture(
        input_shape=(input_size, input_size, 3),
        input_dtype="uint8",
        zero_point=CIFAR_ZERO_POINT,
        scale=CIFAR_SCALE,
        classes=classes,
        stem=StemSpec(
            channels=stem_channels,
            kernel=(kernel, kernel),
            stride=(stride, stride),
            padding=(padding, padding),
            weight_bits=8,
        ),
        units=tuple(units),
        exits=tuple(ExitSpec(after=a) for a in (exits_after or (edge_units,))),
        cut=CutSpec(after=edge_units, channels=cut_channels, bits=cut_bits),
        classifier_dropout=dropout,
    )


def digits_net(
    *,
    widths: Sequence[int] = (32, 64),
    exits_after: Sequence[int] | None = None,
    cut_channels: int | None = 16,
    cut_bits: Literal[1, 2, 3, 4] = 1,
    cloud_widths: Sequence[int] = (64,),
) -> Architecture:
    """A small net for 8x8 grey digits: three plain binary units (integer thresholds alone), one exit at the cut."""
    units = [
        UnitSpec(kind="plain", channels=widths[0], weight_bits=1, activation_bits=1),
        UnitSpec(kind="plain", channels=widths[0], pool=(2, 2), weight_bits=1, activation_bits=1),
        UnitSpec(kind="plain", channels=widths[1], weight_bits=1, activation_bits=1),
    ]
    edge_units = len(units)
    units += [UnitSpec(kind="basic", channels=c) for c in cloud_widths]
    return Architecture(
        input_shape=(8, 8, 1),
        input_dtype="uint8",
        zero_point=(78.0,),
        scale=(1 / 96.0,),
        classes=10,
        stem=StemSpec(channels=widths[0], weight_bits=8),
        units=tuple(units),
        exits=tuple(ExitSpec(after=a) for a in (exits_after or (edge_units,))),
        cut=CutSpec(after=edge_units, channels=cut_channels, bits=cut_bits),
    )


#: Mean and 1 / standard deviation of the nine channels over UCI HAR's training subjects (g, rad/s, g).
HAR_ZERO_POINT = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.80, 0.03, 0.09)
HAR_SCALE = (5.1, 8.2, 9.3, 2.5, 2.6, 3.9, 2.4, 2.6, 3.0)


def sensor_net(
    *,
    length: int = 128,
    channels: int = 9,
    classes: int = 6,
    stem_channels: int = 32,
    stem_kernel: int = 5,
    stem_stride: int = 2,
    edge_widths: Sequence[tuple[int, int]] = ((64, 2), (96, 2), (128, 2)),
    edge_bits: Literal[1, 2, 4, 8] = 1,
    shortcut: Literal["projection", "repeat"] = "projection",
    exits_after: Sequence[int] | None = None,
    cut_channels: int | None = 16,
    cut_bits: Literal[1, 2, 3, 4] = 1,
    cloud_widths: Sequence[int] = (64, 64),
    zero_point: Sequence[float] = HAR_ZERO_POINT,
    scale: Sequence[float] = HAR_SCALE,
    dropout: float = 0.2,
) -> Architecture:
    """A one-dimensional net for sensor windows (length x channels): Bi-Real units with kernels of 5 samples.

    The stem is in full precision: its stride is what keeps it cheap. With `repeat` shortcuts each width is a multiple
    of the one before.
    """
    units: list[UnitSpec] = []
    for stage, (width, count) in enumerate(edge_widths):
        for number in range(count):
            units.append(
                UnitSpec(
                    kind="bireal",
                    channels=width,
                    kernel=(1, 5),
                    stride=(1, 2) if stage > 0 and number == 0 else (1, 1),
                    weight_bits=edge_bits,
                    activation_bits=edge_bits,
                    shortcut=shortcut,
                )
            )
    edge_units = len(units)
    units += [UnitSpec(kind="basic", channels=c, kernel=(1, 3)) for c in cloud_widths]
    return Architecture(
        input_shape=(1, length, channels),
        input_dtype="float32",
        zero_point=tuple(zero_point),
        scale=tuple(scale),
        classes=classes,
        stem=StemSpec(
            channels=stem_channels, kernel=(1, stem_kernel), stride=(1, stem_stride), padding=(0, stem_kernel // 2)
        ),
        units=tuple(units),
        exits=tuple(ExitSpec(after=a) for a in (exits_after or (edge_units,))),
        cut=CutSpec(after=edge_units, channels=cut_channels, bits=cut_bits),
        classifier_dropout=dropout,
    )


def whitened(*, classes: int = 10, widths: Sequence[int] = (64, 256, 256), convolutions: int = 2) -> WhitenedSpec:
    """A full-precision teacher for 32x32 pictures, see `hybrid_model.nn.whitened`; no hybrid network."""
    return WhitenedSpec(
        zero_point=CIFAR_ZERO_POINT,
        scale=CIFAR_SCALE,
        classes=classes,
        widths=tuple(widths),
        convolutions=convolutions,
    )


FAMILIES = {"resnet": resnet, "wide_edge": wide_edge, "digits": digits_net, "sensor": sensor_net}
#: Families of networks that only teach.
TEACHERS = {"whitened": whitened}
