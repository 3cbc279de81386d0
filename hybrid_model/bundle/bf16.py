"""How a cloud half in bfloat16 compares with the same in float32: its part of the manifest."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from hybrid_model.bundle.calibration import Part, Share

#: A cloud half may compute in bfloat16 where this share of samples gets the class that float32 gives.
AGREEMENT_MIN: Final = 0.999


class Bf16(Part):
    """The classes that bfloat16 gives to the calibration split, beside those of float32.

    Where the greatest logit leads the second by less than `close`, float32 decides. Of `samples` samples, `close_share`
    were that close, `agreed_share` got the same class as by float32 alone, and `unaided_share` would have without the
    second look. It is no part of the network id.
    """

    close: float = Field(ge=0)
    samples: int = Field(ge=1)
    close_share: Share
    agreed_share: Share
    unaided_share: Share

    @property
    def agrees(self) -> bool:
        """Whether bfloat16 may serve."""
        return self.agreed_share >= AGREEMENT_MIN
