"""The networks that a worker runs: each loaded once, whatever number of inputs it answers."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hybrid_model import bundle as bundles
from hybrid_model.bundle import Manifest
from hybrid_model.runtime import EdgeEngine, Engine
from services.edge.errors import EdgeError
from services.settings import EdgeSettings

__all__ = ["EdgeNetwork", "Networks", "load_networks"]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class EdgeNetwork:
    """A network's edge half. `settings`: the edge's, as they hold for this network.

    `weight_bytes`: of its packed tensors; `load_s`: how long the file and the engine took.
    """

    manifest: Manifest
    engine: Engine
    settings: EdgeSettings
    weight_bytes: int = 0
    load_s: float = 0.0

    @property
    def network_id(self) -> str:
        """Of the bundle."""
        return self.manifest.network_id


class Networks:
    """All of a worker's networks.

    Args:
        of_inputs: Which network answers an input, one an input.

    Attributes:
        of_inputs: As given.
        all: Each network once, in the order of the inputs: the first is what the worker is called by.
    """

    def __init__(self, of_inputs: Sequence[EdgeNetwork]) -> None:
        self.of_inputs = of_inputs
        self.all = list({each.network_id: each for each in reversed(of_inputs)}.values())[::-1]

    @classmethod
    def single(cls, settings: EdgeSettings, manifest: Manifest, engine: Engine) -> Networks:
        """One network for every input."""
        return cls([EdgeNetwork(manifest=manifest, engine=engine, settings=settings)] * len(settings.inputs))

    @property
    def first(self) -> EdgeNetwork:
        """That of the first input."""
        return self.all[0]

    @property
    def names(self) -> Mapping[str, str]:
        """By network id the name of its bundle; with the id, where two bundles have one name."""
        called = [each.manifest.name for each in self.all]
        return {
            each.network_id: name if called.count(name) == 1 else f"{name}@{each.network_id}"
            for each, name in zip(self.all, called, strict=True)
        }


def load_networks(settings: EdgeSettings) -> Networks:
    """Load the bundle of every input, each once.

    Raises BundleError where one is missing or damaged, EdgeError where no kernel runs it.
    """
    by_bundle: dict[str, EdgeNetwork] = {}
    by_id: dict[str, EdgeNetwork] = {}
    for name in settings.bundles:
        began_s = time.perf_counter()
        loaded = bundles.load(bundles.resolve(name))
        known = by_id.get(loaded.manifest.network_id)
        if known is not None:
            by_bundle[name] = known
            continue
        try:
            engine = EdgeEngine(loaded, threads=settings.threads)
        except ValueError as error:
            raise EdgeError(f"edge engine: {error}") from None
        by_bundle[name] = by_id[loaded.manifest.network_id] = EdgeNetwork(
            manifest=loaded.manifest,
            engine=engine,
            settings=settings.of_network(name),
            weight_bytes=sum(tensor.nbytes for tensor in loaded.edge.values()),
            load_s=time.perf_counter() - began_s,
        )
    return Networks([by_bundle[each.bundle or settings.bundle] for each in settings.inputs])
