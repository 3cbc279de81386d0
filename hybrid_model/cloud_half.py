"""The cloud half: rebuilt from a bundle, it turns features from the cut into labels, in batches, in full precision."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hybrid_model import bundle as bundle_file
from hybrid_model import cut as cut_codec
from hybrid_model.bundle import Bundle, BundleError
from hybrid_model.nn import Architecture, HybridNetwork


class CloudHalf:
    """The full-precision layers behind the cut: they compute in float32, from tensors stored in float32 or float16.

    `source`: a bundle loaded with its cloud tensors, or the path of one. `device`: "cpu", "cuda", ...
    Raises BundleError where the cloud tensors do not fit the architecture.
    """

    def __init__(self, source: Bundle | Path | str, *, device: str = "cpu", threads: int | None = None) -> None:
        loaded = source if isinstance(source, Bundle) else bundle_file.load(source, cloud=True)
        self.manifest = loaded.manifest
        self.network_id: str = loaded.manifest.network_id
        self.classes: tuple[str, ...] = tuple(loaded.manifest.classes)
        self._device = torch.device(device)
        if threads is not None:
            torch.set_num_threads(threads)
        self._network = self._build(loaded).to(self._device)

    @staticmethod
    def _build(loaded: Bundle) -> HybridNetwork:
        try:
            network = HybridNetwork(Architecture.model_validate(loaded.manifest.architecture))
            state = {name: _as_float32(loaded, name, array) for name, array in loaded.cloud.items()}
            missing, unexpected = network.load_state_dict(state, strict=False)
        except (ValueError, RuntimeError) as error:
            raise BundleError(
                f"{loaded.path}: the cloud half does not fit its architecture ({error}); export it again"
            ) from error
        lacking = [
            name
            for name in missing
            if name.startswith(("cloud.", "classifier.")) and not name.endswith("num_batches_tracked")
        ]
        if lacking or unexpected:
            what = f"lacks {lacking[0]}" if lacking else f"has an unknown tensor {unexpected[0]}"
            raise _unfit(loaded, f"cloud.safetensors {what}")
        if network.cut_shape != tuple(loaded.manifest.cut.shape):
            raise BundleError(
                f"{loaded.path}: cut {loaded.manifest.cut.shape} is not {network.cut_shape}; export it again"
            )
        network.eval().requires_grad_(False)
        del network.edge, network.stem, network.exits
        return network

    @torch.inference_mode()
    def infer(self, features: Sequence[bytes]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Packed features of N samples -> classes (N,) int64 and confidences (N,) float32.

        A confidence is the class's probability, softmax(logits / T) at the manifest's `cloud_temperature`. Raises
        CutError where features are not what this bundle's cut packs.
        """
        if not features:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        probabilities = torch.softmax(self._logits(features) / self.manifest.cloud_temperature, dim=1)
        confidence, classes = probabilities.max(dim=1)
        return classes.cpu().numpy(), confidence.cpu().numpy()

    @torch.inference_mode()
    def probabilities(self, features: Sequence[bytes]) -> NDArray[np.float32]:
        """Packed features of N samples -> probabilities (N, K) float32, as `infer` takes the greatest of them.

        Raises CutError as `infer` does.
        """
        if not features:
            return np.empty((0, len(self.classes)), dtype=np.float32)
        return torch.softmax(self._logits(features) / self.manifest.cloud_temperature, dim=1).cpu().numpy()

    @torch.inference_mode()
    def logits(self, features: Sequence[bytes]) -> NDArray[np.float32]:
        """Packed features of N samples -> logits (N, K) float32. Raises CutError as `infer` does."""
        if not features:
            return np.empty((0, len(self.classes)), dtype=np.float32)
        return self._logits(features).cpu().numpy()

    def _logits(self, features: Sequence[bytes]) -> torch.Tensor:
        shape, bits = self._network.cut_shape, self._network.cut.bits
        codes = cut_codec.unpack_batch(features, shape, bits)
        crossed = self._network.cut.dequantize(torch.from_numpy(codes).to(self._device))
        return self._network.cloud_half(crossed).float()


def _as_float32(loaded: Bundle, name: str, array: NDArray[Any]) -> torch.Tensor:
    if array.dtype not in (np.float16, np.float32):
        raise _unfit(loaded, f"cloud.safetensors has {name} as {array.dtype}, not as float32 or float16")
    return torch.from_numpy(array.astype(np.float32))


def _unfit(loaded: Bundle, reason: str) -> BundleError:
    return BundleError(f"{loaded.path}: {reason}; export it again")
