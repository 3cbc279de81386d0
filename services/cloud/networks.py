"""The networks that a cloud worker can serve: bundles by network id, their cloud halves loaded when one is wanted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from hybrid_model import bundle as bundle_file
from hybrid_model.bundle import BundleError, Manifest
from hybrid_model.energy import stage_energy_j
from services.common.backoff import BackOff
from services.common.logs import get_logger
from services.feature_stream import one_line
from services.settings import SettingsError

__all__ = ["Forward", "Network", "Networks", "check_device", "load_cloud_half"]

#: First and longest pause, seconds, before a bundle that could not be loaded is tried again. Each try reads its tensors
#: and holds up the networks that are served; memory that another process gives back is found within minutes.
RETRY_S: Final = (10.0, 300.0)

_log = get_logger("cloud")


class Forward(Protocol):
    """A cloud half: features of N samples -> classes (N,) int64 and confidences (N,) float32."""

    def infer(self, features: Sequence[bytes], /) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Run one batch. Raises CutError for features that are not of this network's cut."""

    def probabilities(self, features: Sequence[bytes], /) -> NDArray[np.float32]:
        """Of every class, (N, K) float32. Raises CutError as `infer` does."""


@dataclass(frozen=True)
class Network:
    """A network with its cloud half in memory."""

    manifest: Manifest
    forward: Forward

    @property
    def network_id(self) -> str:
        """12 hex digits."""
        return self.manifest.network_id

    @property
    def precision(self) -> str:
        """In which it computes: fp32, bf16; "" where its cloud half does not tell."""
        return str(getattr(self.forward, "precision", ""))

    @property
    def features_bytes(self) -> int:
        """Size of one sample's features."""
        return self.manifest.cut.bytes

    @cached_property
    def energy_j(self) -> float:
        """Estimated joules of the cloud half for one sample (`mac` view)."""
        return stage_energy_j(self.manifest.layers).cloud


@dataclass
class _Failing:
    """A network whose bundle could not be loaded at the last try."""

    back_off: BackOff
    retry_at: float = 0.0


class Networks:
    """Bundles found in files and folders.

    A folder is looked through again for a network id that is not known yet, so that a bundle copied into it is served
    without a restart. A bundle that cannot be loaded takes nothing from the others: one that is damaged waits for a
    mended file, one that the device cannot hold, or the disk not give, is tried again from time to time.

    Args:
        sources: Bundles (files or names of shipped ones) and folders of bundles.
        load: Path of a bundle -> its cloud half.
        retry_s: First and longest pause before a bundle that could not be loaded is tried again.

    Raises:
        BundleError: a named bundle is missing or damaged, or there is not one bundle in all sources.
    """

    def __init__(
        self,
        sources: Iterable[str | Path],
        load: Callable[[Path], Forward],
        *,
        retry_s: tuple[float, float] = RETRY_S,
    ) -> None:
        self._load, self._retry_s = load, retry_s
        self._folders: list[Path] = []
        self._seen: dict[Path, float] = {}
        self._found: dict[str, tuple[Path, Manifest]] = {}
        self._loaded: dict[str, Network] = {}
        self._failing: dict[str, _Failing] = {}
        named = [str(source) for source in sources]
        for source in named:
            if Path(source).is_dir():
                self._folders.append(Path(source))
            else:
                self._add(bundle_file.resolve(source))
        self._look_through_folders()
        if not self._found:
            where = ", ".join(named) or "the settings"
            raise BundleError(f"{where}: no bundle (NAME.dew) found; copy one there, or name one in [cloud] bundles")

    @property
    def ids(self) -> frozenset[str]:
        """Network ids of the bundles found so far."""
        return frozenset(self._found)

    @property
    def failing(self) -> frozenset[str]:
        """Network ids of which there is a bundle that could not be loaded at the last try."""
        return frozenset(self._failing)

    @property
    def wanted(self) -> frozenset[str]:
        """Network ids that were asked for and of which there is, or was, a bundle: those served, and those failing."""
        return frozenset(self._loaded) | self.failing

    def get(self, network_id: str) -> Network | None:
        """The network with its cloud half, loaded at the first call. None where no usable bundle has this id."""
        if network_id in self._loaded:
            return self._loaded[network_id]
        if network_id not in self._found:
            self._look_through_folders()
        failing = self._failing.get(network_id)
        if network_id not in self._found or (failing is not None and time.monotonic() < failing.retry_at):
            return None
        path, manifest = self._found[network_id]
        try:
            network = Network(manifest, self._load(path))
        except BundleError as error:
            self._failing[network_id] = _Failing(self._new_back_off())
            del self._found[network_id]  # until a mended one is copied into its folder
            _log.error("bundle_refused", network_id=network_id, error=str(error))
            return None
        except Exception as error:  # memory of the device or of the machine, the driver, the disk: others go on
            self._fails(network_id, path, error)
            return None
        self._failing.pop(network_id, None)
        self._loaded[network_id] = network
        _log.info("network_loaded", network_id=network_id, bundle=str(path))
        return network

    def _fails(self, network_id: str, path: Path, error: Exception) -> None:
        failing = self._failing.setdefault(network_id, _Failing(self._new_back_off()))
        pause_s = failing.back_off.next_s()
        failing.retry_at = time.monotonic() + pause_s
        _log.error(
            "bundle_not_loaded",
            network_id=network_id,
            bundle=str(path),
            error=f"{type(error).__name__}: {one_line(str(error))}",
            retry_s=round(pause_s),
            remedy="the others are served; free memory of cloud.device, choose another one, or take the bundle out of"
            " cloud.bundles here and serve it by a worker that can hold it",
        )

    def _new_back_off(self) -> BackOff:
        return BackOff(first_s=self._retry_s[0], most_s=self._retry_s[1])

    def _look_through_folders(self) -> None:
        for folder in self._folders:
            for path in sorted(folder.glob("*.dew")):
                try:
                    modified = path.stat().st_mtime
                    if self._seen.get(path) != modified:
                        self._seen[path] = modified
                        self._add(path)
                except Exception as error:  # one file must not keep the worker from the others
                    _log.error("bundle_refused", bundle=str(path), error=str(error) or type(error).__name__)

    def _add(self, path: Path) -> None:
        manifest = bundle_file.load(path).manifest
        if manifest.network_id not in self._found:
            self._found[manifest.network_id] = (path, manifest)


def load_cloud_half(
    path: Path,
    *,
    device: str = "cpu",
    threads: int | None = None,
    precision: Literal["auto", "fp32", "bf16"] = "auto",
) -> Forward:
    """The cloud half of a bundle, in torch, made to be fast. Raises BundleError."""
    from hybrid_model.cloud_half import CloudHalf

    half = CloudHalf(path, device=device, threads=threads, precision=precision)
    facts = {} if half.trial is None else {"threads": half.trial.threads, "batch": half.trial.batch}
    tried = {} if half.trial is None else {f"{name}_s": round(s, 6) for name, s in half.trial.seconds.items()}
    _log.info("precision_chosen", network_id=half.network_id, precision=half.precision, **facts, **tried)
    return half


def check_device(device: str) -> None:
    """Raise SettingsError unless torch is installed and computes on `device`."""
    try:
        import torch
    except ImportError:
        raise SettingsError(
            'torch is not installed, and the cloud half needs it: pip install "dewpoint[cloud]"'
        ) from None
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise SettingsError(f"cloud.device {device!r}: {reason}") from None
