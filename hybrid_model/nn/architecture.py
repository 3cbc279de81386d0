"""What a hybrid network is made of, as plain data: it travels in the bundle and rebuilds the same network elsewhere."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Bits = Literal[1, 2, 4, 8, 32]
Pair = tuple[int, int]


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StemSpec(_Spec):
    """The first convolution. 32 bits: full precision; 8 bits: integer weights straight on the integer input."""

    channels: int = Field(gt=0)
    kernel: Pair = (3, 3)
    stride: Pair = (1, 1)
    padding: Pair = (1, 1)
    weight_bits: Literal[8, 32] = 32


class UnitSpec(_Spec):
    """One repeated piece of a backbone.

    `basic`: two convolutions and one shortcut around both (He et al. 2016). `bireal`: one convolution with its own
    shortcut, RSign before and RPReLU after it (Liu et al. 2018, 2020); at 2 bits and more, clipped levels stand in for
    RSign. `plain`: one convolution without a shortcut, so that on the edge it runs on integer thresholds alone; `pool`
    is a max pooling behind it.

    `shortcut` says how the way around widens: by a full-precision 1x1 convolution (`projection`), or by repeating its
    channels (`repeat`), which has no parameters and costs no multiplication.
    """

    kind: Literal["basic", "bireal", "plain"]
    channels: int = Field(gt=0)
    kernel: Pair = (3, 3)
    stride: Pair = (1, 1)
    pool: Pair | None = None
    weight_bits: Bits = 32
    activation_bits: Bits = 32
    shortcut: Literal["projection", "repeat"] = "projection"

    @model_validator(mode="after")
    def _pool_belongs_to_plain(self) -> Self:
        if self.pool is not None and self.kind != "plain":
            raise ValueError("only plain units take a pool")
        return self


class ExitSpec(_Spec):
    """A classifier on the edge: average pooling (`None`: global), then a full-precision linear layer."""

    after: int = Field(ge=1, description="number of units in front of the exit")
    pool: Pair | None = None


class CutSpec(_Spec):
    """Where the network is divided, and how what crosses is quantized; at 32 bits not at all, in twins only."""

    after: int = Field(ge=1, description="number of units on the edge")
    channels: int | None = Field(default=None, gt=0, description="1x1 bottleneck width; none: the stream as it is")
    bits: Literal[1, 2, 3, 4, 32] = 1


class Architecture(_Spec):
    """A whole hybrid network. Shapes are (H, W, C); a one-dimensional signal is a picture of height 1."""

    input_shape: tuple[int, int, int]
    input_dtype: Literal["uint8", "float32"]
    zero_point: tuple[float, ...]
    scale: tuple[float, ...]
    classes: int = Field(ge=2)
    stem: StemSpec
    units: tuple[UnitSpec, ...]
    exits: tuple[ExitSpec, ...]
    cut: CutSpec
    classifier_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)

    @model_validator(mode="after")
    def _exits_lie_on_the_edge(self) -> Self:
        if not self.exits:
            raise ValueError("a hybrid network has at least one exit on the edge")
        places = [e.after for e in self.exits]
        if places != sorted(set(places)):
            raise ValueError(f"exits must stand in order and apart, not {places}")
        if places[-1] > self.cut.after:
            raise ValueError(f"exit after unit {places[-1]} lies behind the cut after unit {self.cut.after}")
        if self.cut.after > len(self.units):
            raise ValueError(f"cut after unit {self.cut.after}, but there are {len(self.units)} units")
        if len(self.zero_point) != self.input_shape[2] or len(self.scale) != self.input_shape[2]:
            raise ValueError("zero_point and scale have one number per input channel")
        if self.stem.weight_bits == 8 and (
            self.input_dtype != "uint8" or any(z != int(z) for z in self.zero_point) or len(set(self.scale)) != 1
        ):
            raise ValueError("an 8-bit stem takes uint8 input, whole zero points and one common scale")
        return self

    def twin(self) -> Architecture:
        """The same layers in full precision: stem, units and cut at 32 bits."""
        units = tuple(u.model_copy(update={"weight_bits": 32, "activation_bits": 32}) for u in self.units)
        stem = self.stem.model_copy(update={"weight_bits": 32})
        return self.model_copy(update={"units": units, "stem": stem, "cut": self.cut.model_copy(update={"bits": 32})})
