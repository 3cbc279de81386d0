"""What each split of somebody's own data was made of, as the manifest keeps it."""

from __future__ import annotations

import base64

from hybrid_model.bundle.manifest import SplitFiles
from hybrid_model.data.own import OwnData

__all__ = ["split_files"]


def split_files(own: OwnData) -> SplitFiles:
    """The digests of every split, sorted, in base64."""
    return SplitFiles(
        kind="pictures" if own.dataset.kind == "image" else "readings",
        digests={name: base64.b64encode(b"".join(sorted(some))).decode() for name, some in own.digests.items()},
    )
