"""How Hypothesis draws in this suite; a pytest plugin, which tests/conftest.py loads.

A verdict must not hang on how fast the machine is: neither an example nor its drawing is timed. In CI the same examples
are drawn every time; elsewhere new ones, and a failure says how to get its example again.
"""

import os

from hypothesis import HealthCheck, settings

#: For tests that suppress further health checks: what `suppress_health_check` names replaces what the profile names.
UNTIMED = (HealthCheck.too_slow,)

settings.register_profile(
    "dewpoint",
    deadline=None,
    suppress_health_check=UNTIMED,
    derandomize=os.environ.get("CI", "").lower() == "true",
    print_blob=True,
)
settings.load_profile("dewpoint")
