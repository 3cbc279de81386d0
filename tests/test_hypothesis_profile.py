"""No property's verdict hangs on how fast the machine is."""

from __future__ import annotations

import re
import time
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.hypothesis_profile import UNTIMED

ROOT = Path(__file__).parent
#: Hypothesis calls more than a second for the first draws too slow, and more than 0.2 s for one example.
SLOW_S = 1.1


@st.composite
def drawn_slowly(draw: st.DrawFn) -> int:
    """A number; the first ones take as long as on a machine that is busy."""
    if 0 < len(drawn) < 3:  # the very first is drawn before any check
        time.sleep(SLOW_S)
    drawn.append(draw(st.integers(0, 9)))
    return drawn[-1]


drawn: list[int] = []


@settings(max_examples=12)
@given(drawn_slowly())
def test_a_first_draw_that_takes_long_is_no_failure(number: int) -> None:
    assert number in range(10)


def test_neither_an_example_nor_its_drawing_is_timed() -> None:
    assert settings.default is not None
    assert settings.default.deadline is None
    assert HealthCheck.too_slow in settings.default.suppress_health_check
    assert HealthCheck.too_slow in UNTIMED


def test_no_test_has_a_deadline_or_untimed_health_checks_of_its_own() -> None:
    for path in ROOT.rglob("*.py"):
        text = path.read_text()
        if "hypothesis import" not in text or path.name in ("hypothesis_profile.py", Path(__file__).name):
            continue
        assert not re.search(r"\bdeadline=", text), path
        for suppressed in re.findall(r"suppress_health_check=\[([^\]]*)\]", text):
            assert "*UNTIMED" in suppressed, path
