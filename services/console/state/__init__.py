"""What is known of the site now, and of its last minutes: bounded, for any thread, without a user interface."""

from services.console.state.path_curve import PathCurve, load_manifest
from services.console.state.state import State

__all__ = ["PathCurve", "State", "load_manifest"]
