"""The style sheet, and the colours of charts: of one lightness, to be read on a light and on a dark ground."""

from __future__ import annotations

import importlib.resources
from typing import Final

__all__ = ["BASELINE", "CLOUD", "EDGE", "GRID", "MARK", "style_sheet"]

EDGE: Final = "#2f7fc1"
CLOUD: Final = "#d07a1f"
BASELINE: Final = "#8b949e"
MARK: Final = "#c2453d"
GRID: Final = "rgba(128,140,152,.22)"


def style_sheet() -> str:
    """The page's CSS."""
    return (importlib.resources.files("services.console.page") / "style.css").read_text()
