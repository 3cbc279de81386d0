"""The operations of an edge graph, as they stand in the manifest.

Tensors are NHWC and have names; `input` is the decoded batch. Operations stand in execution order. `stage` s: needed
for exit s; a stage equal to the number of exits leads to the cut. `params` names arrays of edge.safetensors by role.
What each operation computes, down to the order of its roundings, stands in `hybrid_model.runtime.reference`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(min_length=1, max_length=200)]
Small = Annotated[int, Field(ge=0, le=64)]
Positive = Annotated[int, Field(ge=1, le=4096)]


class OpBase(BaseModel):
    """What every operation has."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)

    inputs: tuple[Name, ...] = Field(alias="in", min_length=1, max_length=2)
    out: Name
    stage: int = Field(ge=0, le=127)
    params: dict[Name, Name] = {}


class Normalize(OpBase):
    """uint8 or float32 -> float32: (x - zero_point[c]) * scale[c]."""

    op: Literal["normalize"]


class _Convolution(OpBase):
    stride: tuple[Positive, Positive]
    padding: tuple[Small, Small]


class ConvInt8(_Convolution):
    """uint8 -> float32: integer sums of (x - zero_point[c]) * weight, then * scale[oc] + bias[oc]."""

    op: Literal["conv_int8"]


class ConvFloat(_Convolution):
    """float32 -> float32, summed in a fixed order, then + bias[oc]."""

    op: Literal["conv_float"]


class ConvBinary(_Convolution):
    """Bits -> float32 (dot * scale[oc] + bias[oc]) or bits (dot >= threshold[oc]), with exact zero padding."""

    op: Literal["conv_binary"]
    in_channels: int = Field(ge=1)
    epilogue: Literal["float", "bits"]


class ConvKbit(_Convolution):
    """Levels -> float32: integer sums of level * weight, then * scale[oc] + bias[oc]."""

    op: Literal["conv_kbit"]
    weight_bits: Literal[1, 2, 4, 8]
    activation_bits: Literal[2, 4, 8]


class Binarize(OpBase):
    """float32 -> bits: x >= threshold[c]."""

    op: Literal["binarize"]


class Quantize(OpBase):
    """float32 -> levels: rint(min(max(x * gain, 0), 2^bits - 1))."""

    op: Literal["quantize"]
    bits: Literal[2, 4, 8]
    gain: float = Field(gt=0)


class Add(OpBase):
    """float32 a + float32 b."""

    op: Literal["add"]


class Relu(OpBase):
    """float32: x where x > 0, else 0."""

    op: Literal["relu"]


class RPRelu(OpBase):
    """float32: ReActNet's activation, a PReLU shifted on both sides."""

    op: Literal["rprelu"]


class _Pool(OpBase):
    kernel: tuple[Positive, Positive]
    stride: tuple[Positive, Positive]


class AvgPool(_Pool):
    """float32 -> float32, no padding."""

    op: Literal["avg_pool"]


class MaxPool(_Pool):
    """float32 -> float32, or bits -> bits (or), no padding."""

    op: Literal["max_pool"]


class Repeat(OpBase):
    """float32 (H, W, C) -> float32 (H, W, C * times): channel c of the result is channel c modulo C of the input."""

    op: Literal["repeat"]
    times: int = Field(ge=2, le=64)


class Linear(OpBase):
    """float32 -> logits, over the features in (H, W, C) order."""

    op: Literal["linear"]


class ExitOp(OpBase):
    """Logits of the exit with this number."""

    op: Literal["exit"]
    exit: int = Field(ge=0, le=127)


class CutOp(OpBase):
    """float32 -> codes: at 1 bit x >= threshold[c], else as `quantize`."""

    op: Literal["cut"]
    bits: Literal[1, 2, 3, 4]
    gain: float | None = Field(default=None, gt=0)


Op = Annotated[
    Normalize
    | ConvInt8
    | ConvFloat
    | ConvBinary
    | ConvKbit
    | Binarize
    | Quantize
    | Add
    | Relu
    | RPRelu
    | AvgPool
    | MaxPool
    | Repeat
    | Linear
    | ExitOp
    | CutOp,
    Field(discriminator="op"),
]
