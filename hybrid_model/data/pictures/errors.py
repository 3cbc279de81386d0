"""What is wrong with somebody's pictures as a whole."""

from __future__ import annotations

from hybrid_model.data.dataset import DataError

__all__ = ["PictureDataError"]


class PictureDataError(DataError):
    """Pictures that nothing can be learned from as they lie there; the message says why and what to do."""
