"""The training loop: resumable, with a progress bar, on a GPU when there is one."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from hybrid_model.data import Dataset, Split
from hybrid_model.nn import HybridNetwork, HybridOutput
from hybrid_model.nn.layers import QuantConv2d
from hybrid_model.training.augment import AUGMENTATIONS
from hybrid_model.training.checkpoint import Checkpoint
from hybrid_model.training.losses import exit_loss, final_loss, joint_loss
from hybrid_model.training.optimizers import build_optimizers
from hybrid_model.training.precision import autocast, choose_precision
from hybrid_model.training.recipe import Recipe, Schedule
from hybrid_model.training.run import TrainingError, TrainingRun, machine_kind


def _share_of_peak(schedule: Schedule, progress: float) -> float:
    """One cycle: linear up over `warmup_share`, then a cosine down to zero. `progress` in 0..1."""
    if progress < schedule.warmup_share:
        return 0.05 + 0.95 * progress / schedule.warmup_share
    rest = (progress - schedule.warmup_share) / (1.0 - schedule.warmup_share)
    return 0.5 * (1.0 + math.cos(math.pi * min(rest, 1.0)))


def _batches(split: Split, batch_size: int, order: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    x, y = torch.from_numpy(split.x), torch.from_numpy(split.y)
    for start in range(0, len(order) - batch_size + 1, batch_size):
        rows = order[start : start + batch_size]
        yield x[rows], y[rows]


@torch.no_grad()
def predict(
    network: HybridNetwork, split: Split, *, device: torch.device, batch_size: int = 500
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Exit logits (N, E, K) and final logits (N, K), float32, in evaluation mode and full precision."""
    network.eval()
    exits, finals = [], []
    for start in range(0, len(split.y), batch_size):
        x = torch.from_numpy(split.x[start : start + batch_size]).to(device)
        out = network(network.normalize(x))
        exits.append(torch.stack(out.exits, dim=1).cpu().numpy())
        finals.append(out.final.cpu().numpy())
    return np.concatenate(exits), np.concatenate(finals)


class ProgressiveBinarization:
    """Lets the one-bit convolutions of `network` keep real weights for the first `share` of a run.

    A network with binary activations and real weights is the better start for one with both binary
    (Liu et al. 2020, ReActNet, arXiv 2003.03488, section 5).
    """

    def __init__(self, network: nn.Module, share: float) -> None:
        self._share = share
        self._convolutions = [m for m in network.modules() if isinstance(m, QuantConv2d) and m.weight_bits == 1]

    def at(self, progress: float) -> None:
        """Sets the bits of the weights for a run that has come so far, 0..1."""
        for convolution in self._convolutions:
            convolution.weight_bits = 32 if progress < self._share else 1


class _Trainer:
    """One run in progress: network, optimizers and where it stands. `twin`: its teacher, trained."""

    def __init__(
        self, recipe: Recipe, dataset: Dataset, folder: Path, device: torch.device, twin: HybridNetwork | None = None
    ) -> None:
        self.recipe, self.dataset, self.device = recipe, dataset, device
        torch.manual_seed(recipe.seed)
        self.network: HybridNetwork = HybridNetwork(recipe.build()).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if recipe.start == "twin":
            assert twin is not None
            start_from(self.network, twin)
        self.binarization = ProgressiveBinarization(self.network, recipe.schedule.binarize_weights_after)
        self.optimizers = build_optimizers(self.network, recipe.schedule.model_copy(update={"lr": recipe.peak_lr}))
        self.checkpoint = Checkpoint(folder / f"{recipe.name}-s{recipe.seed}.pt", recipe.fingerprint())
        self.log = folder / f"{recipe.name}-s{recipe.seed}.jsonl"
        self.generator = torch.Generator().manual_seed(recipe.seed)
        self.augment = AUGMENTATIONS[recipe.augmentation]
        self.fill = torch.tensor(self.network.architecture.zero_point)
        self.steps_per_epoch = len(dataset.train.y) // recipe.schedule.batch_size
        if self.steps_per_epoch == 0:
            raise TrainingError(
                f"{dataset.name} has fewer training samples than one batch of {recipe.schedule.batch_size}"
            )
        self.epoch, self.seconds = 0, 0.0
        self.precision: str | None = None
        self.machine = machine_kind(device)
        self.history: list[dict[str, float]] = []
        self.forward: Callable[[Tensor], HybridOutput] = self.network
        self.teach: Callable[[Tensor], HybridOutput] | None = None
        if recipe.losses.teacher > 0:
            assert twin is not None
            self.teach = twin.to(device).eval().requires_grad_(False)
        if recipe.compile:
            self.forward = torch.compile(self.network)
            self.teach = self.teach and torch.compile(self.teach)
        self._resume()

    def _resume(self) -> None:
        state = self.checkpoint.load()
        if state is None:
            return
        self.network.load_state_dict(state["network"])
        for optimizer, moments in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(moments)
        self.generator.set_state(state["generator"])
        self.epoch, self.seconds, self.history = state["epoch"], state["seconds"], state["history"]
        self.precision = state.get("precision")
        if self.epoch >= self.recipe.schedule.epochs:
            self.machine = state.get("machine", "unknown")

    def _save(self) -> None:
        self.checkpoint.save(
            {
                "network": self.network.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
                "generator": self.generator.get_state(),
                "epoch": self.epoch,
                "seconds": self.seconds,
                "precision": self.precision,
                "machine": self.machine,
                "history": self.history,
            }
        )

    def _loss(self, output: HybridOutput, labels: Tensor, teacher: Tensor | None) -> Tensor:
        losses = self.recipe.losses
        if losses.method == "joint":
            return joint_loss(output, labels, losses, teacher)
        if self.epoch < self._first_stage_epochs():
            return final_loss(output, labels, losses, teacher)
        return exit_loss(output, labels, losses, teacher)

    def _first_stage_epochs(self) -> int:
        return max(1, round(0.75 * self.recipe.schedule.epochs))

    def _enter_epoch(self) -> None:
        """In the second of two stages the backbone is frozen, batch statistics included; the exits learn alone."""
        self.network.train()
        self.binarization.at(self.epoch / self.recipe.schedule.epochs)
        frozen = self.recipe.losses.method == "two_stage" and self.epoch >= self._first_stage_epochs()
        if frozen:
            self.network.requires_grad_(False).eval()
            self.network.exits.requires_grad_(True).train()

    def _step(self, x: Tensor, y: Tensor, precision: str) -> tuple[Tensor, HybridOutput]:
        self.network.zero_grad(set_to_none=True)
        normalized = self.network.normalize(x)
        teacher: Tensor | None = None
        with autocast(self.device, precision):
            output = self.forward(normalized)
            if self.teach is not None:
                with torch.no_grad():
                    teacher = self.teach(normalized).final
        loss = self._loss(output, y, teacher)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_([p for p in self.network.parameters() if p.grad is not None], 5.0)
        for optimizer in self.optimizers:
            optimizer.step()
        return loss.detach(), output

    def choose_precision(self) -> str:
        """A trial of ten steps of each; the network is put back afterwards."""
        before = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        moments = [copy.deepcopy(optimizer.state_dict()) for optimizer in self.optimizers]
        order = torch.arange(self.recipe.schedule.batch_size)
        x, y = next(_batches(self.dataset.train, len(order), order))
        x, y = x.to(self.device), y.to(self.device)
        self._enter_epoch()
        self._set_rates(0.0)
        chosen = choose_precision(lambda p: void(self._step(x, y, p)), self.device)
        self.network.load_state_dict(before)
        for optimizer, state in zip(self.optimizers, moments, strict=True):
            optimizer.state.clear()
            optimizer.load_state_dict(state)
        return chosen

    def _set_rates(self, share_of_peak: float) -> None:
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak_lr"] * share_of_peak

    def run_epoch(self, advance: Callable[[str], None]) -> None:
        """One pass over the training split, then the checkpoint and one line of log."""
        assert self.precision is not None
        schedule = self.recipe.schedule
        start = time.perf_counter()
        self._enter_epoch()
        order = torch.randperm(len(self.dataset.train.y), generator=self.generator)
        total = torch.zeros((), device=self.device)
        for number, (x, y) in enumerate(_batches(self.dataset.train, schedule.batch_size, order)):
            progress = (self.epoch + number / self.steps_per_epoch) / schedule.epochs
            self._set_rates(_share_of_peak(schedule, progress))
            x = self.augment(x, self.fill, self.generator).to(self.device)
            loss, _ = self._step(x, y.to(self.device), self.precision)
            total += loss
            advance(f"epoch {self.epoch + 1}/{schedule.epochs}")
        self.epoch += 1
        self.seconds += time.perf_counter() - start
        mean_loss = float(total) / self.steps_per_epoch
        if not math.isfinite(mean_loss):
            raise TrainingError(
                f"loss is {mean_loss} in epoch {self.epoch}: lower the learning rate of {self.recipe.name}"
            )
        self._note(mean_loss)
        self._save()

    def _note(self, mean_loss: float) -> None:
        exits, final = predict(self.network, self.dataset.tuning, device=self.device)
        truth = self.dataset.tuning.y
        line = {"epoch": float(self.epoch), "loss": mean_loss, "seconds": self.seconds}
        trained = [number for number, weight in enumerate(self.recipe.losses.exit_weights) if weight > 0]
        line |= {f"tuning_exit{i}": float((exits[:, i].argmax(1) == truth).mean()) for i in trained}
        line["tuning_final"] = float((final.argmax(1) == truth).mean())
        self.history.append(line)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("a") as out:
            out.write(json.dumps(line) + "\n")


def void(_: object) -> None:
    """Takes a value and drops it."""


def start_from(network: HybridNetwork, twin: HybridNetwork) -> None:
    """Copies every parameter and statistic of `twin` that `network` has in the same shape; the rest stays as it is."""
    own, known = network.state_dict(), twin.state_dict()
    network.load_state_dict({k: known[k] if k in known and known[k].shape == v.shape else v for k, v in own.items()})


def train(
    recipe: Recipe,
    dataset: Dataset,
    *,
    folder: Path,
    device: str | None = None,
    progress: bool = True,
    baseline: bool = False,
) -> TrainingRun:
    """Trains `recipe` on `dataset`, resuming from its checkpoint in `folder` if there is one.

    With `baseline`, or for a recipe that starts from its full-precision twin or is taught by it, the twin is trained
    first (`recipe.twin()`, with a checkpoint of its own); `TrainingRun.twin` is its run, or None.
    Writes `folder/NAME-sSEED.pt` after every epoch and one JSON line of figures (on the tuning split) to
    `folder/NAME-sSEED.jsonl`. `device`: "cuda", "cpu", or None for a GPU where there is one.

    Raises RecipeError for a recipe that cannot be built, TrainingError for a loss that is no number.
    """
    twin: TrainingRun | None = None
    if recipe.needs_twin or baseline:
        twin = train(recipe.twin(), dataset, folder=folder, device=device, progress=progress)
    chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    trainer = _Trainer(recipe, dataset, folder, chosen, None if twin is None else twin.network)
    epochs = recipe.schedule.epochs
    columns = (
        TextColumn("[bold]{task.fields[name]}[/] {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, disable=not progress) as bar:
        steps, done = epochs * trainer.steps_per_epoch, trainer.epoch * trainer.steps_per_epoch
        task = bar.add_task("", total=steps, name=recipe.name, note="", completed=done)
        if trainer.epoch < epochs:
            bar.update(task, description="choosing precision")
            trainer.precision = trainer.choose_precision()
        while trainer.epoch < epochs:
            trainer.run_epoch(lambda text: bar.update(task, advance=1, description=f"{trainer.precision} {text}"))
            last = trainer.history[-1]
            tuning = f"tuning {last['tuning_final']:.3f}"
            tuning += f" (exit {last['tuning_exit0']:.3f})" if "tuning_exit0" in last else ""
            bar.update(task, note=f"loss {last['loss']:.3f}, {tuning}")
    trainer.binarization.at(1.0)
    # Sums depend on the order of their terms: in one layout, whatever is computed of the weights is always the same.
    network: HybridNetwork = trainer.network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return TrainingRun(
        network.requires_grad_(True).eval(),
        recipe,
        trainer.precision or "unknown",
        trainer.seconds,
        trainer.history,
        twin,
        trainer.machine,
    )
