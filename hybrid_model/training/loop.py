"""The training loop: resumable, with a progress bar, on a GPU when there is one."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from hybrid_model.data import Dataset, Split
from hybrid_model.nn import HybridNetwork, HybridOutput
from hybrid_model.training.augment import AUGMENTATIONS
from hybrid_model.training.checkpoint import Checkpoint
from hybrid_model.training.losses import exit_loss, final_loss, joint_loss
from hybrid_model.training.precision import autocast, choose_precision
from hybrid_model.training.recipe import Recipe, Schedule


class TrainingError(RuntimeError):
    """A run that cannot go on; the message says why."""


@dataclass
class TrainingRun:
    """A trained network and how it came about."""

    network: HybridNetwork
    recipe: Recipe
    precision: str
    seconds: float
    history: list[dict[str, float]] = field(default_factory=list)


def _learning_rate(schedule: Schedule, progress: float) -> float:
    """One cycle: linear up over `warmup_share`, then a cosine down to zero. `progress` in 0..1."""
    if progress < schedule.warmup_share:
        return schedule.lr * (0.05 + 0.95 * progress / schedule.warmup_share)
    rest = (progress - schedule.warmup_share) / (1.0 - schedule.warmup_share)
    return schedule.lr * 0.5 * (1.0 + math.cos(math.pi * min(rest, 1.0)))


def _optimizer(network: HybridNetwork, schedule: Schedule) -> torch.optim.Optimizer:
    """Weight decay falls on convolution and linear weights only: norms, thresholds and slopes go without."""
    decayed = [p for p in network.parameters() if p.dim() > 1]
    free = [p for p in network.parameters() if p.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": schedule.weight_decay}, {"params": free, "weight_decay": 0.0}]
    if schedule.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=schedule.lr, momentum=schedule.momentum, nesterov=True)
    return torch.optim.AdamW(groups, lr=schedule.lr)


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


class _Trainer:
    """One run in progress: network, optimizer and where it stands."""

    def __init__(self, recipe: Recipe, dataset: Dataset, folder: Path, device: torch.device) -> None:
        self.recipe, self.dataset, self.device = recipe, dataset, device
        torch.manual_seed(recipe.seed)
        self.network = HybridNetwork(recipe.build()).to(device)
        if device.type == "cuda":
            self.network = self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = _optimizer(self.network, recipe.schedule)
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
        self.history: list[dict[str, float]] = []
        self.forward: Callable[[Tensor], HybridOutput] = self.network
        if recipe.compile:
            self.forward = torch.compile(self.network)
        self._resume()

    def _resume(self) -> None:
        state = self.checkpoint.load()
        if state is None:
            return
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.epoch, self.seconds, self.history = state["epoch"], state["seconds"], state["history"]

    def _save(self) -> None:
        self.checkpoint.save(
            {
                "network": self.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "generator": self.generator.get_state(),
                "epoch": self.epoch,
                "seconds": self.seconds,
                "history": self.history,
            }
        )

    def _loss(self, output: HybridOutput, labels: Tensor) -> Tensor:
        losses = self.recipe.losses
        if losses.method == "joint":
            return joint_loss(output, labels, losses)
        if self.epoch < self._first_stage_epochs():
            return final_loss(output, labels, losses)
        return exit_loss(output, labels, losses)

    def _first_stage_epochs(self) -> int:
        return max(1, round(0.75 * self.recipe.schedule.epochs))

    def _enter_epoch(self) -> None:
        """In the second of two stages the backbone is frozen, batch statistics included; the exits learn alone."""
        self.network.train()
        frozen = self.recipe.losses.method == "two_stage" and self.epoch >= self._first_stage_epochs()
        if frozen:
            self.network.requires_grad_(False).eval()
            self.network.exits.requires_grad_(True).train()

    def _step(self, x: Tensor, y: Tensor, precision: str) -> tuple[Tensor, HybridOutput]:
        self.optimizer.zero_grad(set_to_none=True)
        with autocast(self.device, precision):
            output = self.forward(self.network.normalize(x))
        loss = self._loss(output, y)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_([p for p in self.network.parameters() if p.grad is not None], 5.0)
        self.optimizer.step()
        return loss.detach(), output

    def choose_precision(self) -> str:
        """A trial of ten steps of each; the network is put back afterwards."""
        before = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        moments = self.optimizer.state_dict()
        order = torch.arange(self.recipe.schedule.batch_size)
        x, y = next(_batches(self.dataset.train, len(order), order))
        x, y = x.to(self.device), y.to(self.device)
        self._enter_epoch()
        rates = [g["lr"] for g in self.optimizer.param_groups]
        for group in self.optimizer.param_groups:
            group["lr"] = 0.0
        chosen = choose_precision(lambda p: void(self._step(x, y, p)), self.device)
        self.network.load_state_dict(before)
        self.optimizer.state.clear()
        self.optimizer.load_state_dict(moments)
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        return chosen

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
            for group in self.optimizer.param_groups:
                group["lr"] = _learning_rate(schedule, progress)
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
        line |= {f"tuning_exit{i}": float((exits[:, i].argmax(1) == truth).mean()) for i in range(exits.shape[1])}
        line["tuning_final"] = float((final.argmax(1) == truth).mean())
        self.history.append(line)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("a") as out:
            out.write(json.dumps(line) + "\n")


def void(_: object) -> None:
    """Takes a value and drops it."""


def train(
    recipe: Recipe, dataset: Dataset, *, folder: Path, device: str | None = None, progress: bool = True
) -> TrainingRun:
    """Trains `recipe` on `dataset`, resuming from its checkpoint in `folder` if there is one.

    Writes `folder/NAME-sSEED.pt` after every epoch and one JSON line of figures (on the tuning split) to
    `folder/NAME-sSEED.jsonl`. `device`: "cuda", "cpu", or None for a GPU where there is one.

    Raises RecipeError for a recipe that cannot be built, TrainingError for a loss that is no number.
    """
    chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    trainer = _Trainer(recipe, dataset, folder, chosen)
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
            tuning = f"tuning {last['tuning_final']:.3f} (exit {last['tuning_exit0']:.3f})"
            bar.update(task, note=f"loss {last['loss']:.3f}, {tuning}")
    trainer.network.requires_grad_(True).eval()
    return TrainingRun(trainer.network, recipe, trainer.precision or "done", trainer.seconds, trainer.history)
