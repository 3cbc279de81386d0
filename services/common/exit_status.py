"""With which status a process of ours ends, beside 0 (in order) and 1 (an error while it worked)."""

from __future__ import annotations

from typing import Final

__all__ = ["HANG", "NO_START"]

#: It could not start: settings, bundle, broker or spool are not as they must be. A restart alone will not help.
NO_START: Final = 2
#: Something hung, and the process ended itself so that its supervisor starts another (EX_SOFTWARE of sysexits.h).
HANG: Final = 70
