"""The cloud half: rebuilt from a bundle, it turns features from the cut into labels, in batches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from hybrid_model import bundle as bundle_file
from hybrid_model import cut as cut_codec
from hybrid_model.bundle import Bundle, BundleError
from hybrid_model.nn import Architecture, HybridNetwork
from hybrid_model.nn.folded import FoldedHalf, Precision, computes_bf16
from hybrid_model.nn.second_look import SecondLook
from hybrid_model.nn.speed_trial import Forward, Trial, speed_trial

#: Samples of the batch that a trial runs.
_TRIAL_BATCH = 32


class CloudHalf:
    """The layers behind the cut, from tensors stored in float32 or float16.

    As it comes it computes layer by layer in float32, as the network was trained: the reference, which evaluation and
    calibration use. With a `precision` it is made to be fast: batch norms folded, channels last, and in

    - `fp32`: float32, the reference's logits up to roundings;
    - `bf16`: bfloat16, where a class is decided by float32 if the first two are close (the bundle's `bf16.close`);
    - `auto`: bfloat16 where the bundle says that the classes agree, the processor has instructions for it, and it is
      faster in a short trial; else float32.

    A cloud half that cannot be folded (its layers have few bits) is the reference whatever is asked for.

    Args:
        source: A bundle loaded with its cloud tensors, or the path of one.
        device: "cpu", "cuda", ...
        threads: Of torch, on a CPU; None: torch's own choice, with a precision that of the trial.
        precision: None for the reference.

    Raises:
        BundleError: the cloud tensors do not fit the architecture.
    """

    def __init__(
        self,
        source: Bundle | Path | str,
        *,
        device: str = "cpu",
        threads: int | None = None,
        precision: Precision | Literal["auto"] | None = None,
    ) -> None:
        loaded = source if isinstance(source, Bundle) else bundle_file.load(source, cloud=True)
        self.manifest = loaded.manifest
        self.network_id: str = loaded.manifest.network_id
        self.classes: tuple[str, ...] = tuple(loaded.manifest.classes)
        #: What the trial chose; None for the reference.
        self.trial: Trial | None = None
        self._device = torch.device(device)
        if threads is not None:
            torch.set_num_threads(threads)
        self._network = build_network(loaded).to(self._device)
        self._forward: Forward = self._network.cloud_half
        if precision is not None:
            self._hasten(precision, threads)

    @property
    def precision(self) -> Precision:
        """In which it computes."""
        return "fp32" if self.trial is None else self.trial.precision

    @torch.inference_mode()
    def _hasten(self, wanted: Precision | Literal["auto"], threads: int | None) -> None:
        found = self.manifest.bf16
        agrees = found is not None and found.agrees and computes_bf16(self._device)
        tried: tuple[Precision, ...] = (wanted,) if wanted != "auto" else ("fp32", "bf16") if agrees else ("fp32",)
        try:
            full = FoldedHalf(self._network, "fp32")
            halves = {one: full if one == "fp32" else FoldedHalf(self._network, "bf16") for one in tried}
        except LookupError:
            return
        shape, bits = self._network.cut_shape, self._network.cut.bits
        codes = torch.randint(
            2**bits, (_TRIAL_BATCH, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
        )
        self.trial = speed_trial(halves, self._crossed(codes), threads)
        self._forward = half = halves[self.trial.precision]
        if self.trial.precision == "bf16" and found is not None:
            self._forward = SecondLook(half, full, found.close)
        self._network.cloud = torch.nn.ModuleList()  # what was folded is not kept twice

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
        codes = cut_codec.unpack_batch(features, self._network.cut_shape, self._network.cut.bits)
        threads = None if self.trial is None else self.trial.threads
        if threads is not None and torch.get_num_threads() != threads:  # another network's
            torch.set_num_threads(threads)
        return self._forward(self._crossed(torch.from_numpy(codes))).float()

    def _crossed(self, codes: torch.Tensor) -> torch.Tensor:
        """Codes (N, h, w, c) uint8 -> what crossed the cut (N, c, h, w) float32, on the device."""
        if self._device.type == "cuda":  # from pinned memory a copy does not wait for the processor
            codes = codes.pin_memory()
        return self._network.cut.dequantize(codes.to(self._device, non_blocking=True))


def build_network(loaded: Bundle) -> HybridNetwork:
    """The torch network of `loaded` (with its cloud tensors) without its edge. Raises BundleError as `CloudHalf`."""
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
        raise BundleError(f"{loaded.path}: cut {loaded.manifest.cut.shape} is not {network.cut_shape}; export it again")
    network.eval().requires_grad_(False)
    del network.edge, network.stem, network.exits
    return network


def _as_float32(loaded: Bundle, name: str, array: NDArray[Any]) -> torch.Tensor:
    if array.dtype not in (np.float16, np.float32):
        raise _unfit(loaded, f"cloud.safetensors has {name} as {array.dtype}, not as float32 or float16")
    return torch.from_numpy(array.astype(np.float32))


def _unfit(loaded: Bundle, reason: str) -> BundleError:
    return BundleError(f"{loaded.path}: {reason}; export it again")
