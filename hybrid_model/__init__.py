"""The hybrid network: training, the bundle, the edge runtime and the cloud half. Knows nothing of brokers or queues.

`load`, `EdgeEngine`, `CloudHalf` and `evaluate` are what a program needs that runs a network; docs/tutorials/python.md
shows them. Nothing is imported before it is used: the edge worker imports this package on machines without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hybrid_model.cloud_half import CloudHalf
    from hybrid_model.face import evaluate, load
    from hybrid_model.runtime import EdgeEngine

__all__ = ["CloudHalf", "EdgeEngine", "evaluate", "load"]

#: The module of each name. Only `CloudHalf` brings torch; `evaluate` imports it when it is called.
_MODULES = {
    "CloudHalf": "hybrid_model.cloud_half",
    "EdgeEngine": "hybrid_model.runtime",
    "evaluate": "hybrid_model.face",
    "load": "hybrid_model.face",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
