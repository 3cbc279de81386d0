"""One run in progress: the network, its optimizers, and where it stands."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from hybrid_model.data import Dataset
from hybrid_model.nn import HybridNetwork, HybridOutput
from hybrid_model.nn.whitened import WhitenedNet
from hybrid_model.training.augment import Augmenter
from hybrid_model.training.binarization import ProgressiveBinarization
from hybrid_model.training.checkpoint import Checkpoint
from hybrid_model.training.losses import exit_loss, final_loss, joint_loss
from hybrid_model.training.optimizers import build_optimizers
from hybrid_model.training.pace import progress_of, share_of_peak
from hybrid_model.training.precision import autocast, choose_precision
from hybrid_model.training.prediction import predict
from hybrid_model.training.recipe import Recipe
from hybrid_model.training.run import TrainingError, machine_kind
from hybrid_model.training.teacher import Teacher
from hybrid_model.training.trainable import Trainable, untrained
from hybrid_model.training.trunk import start_from_trunk

#: Seconds of training between two checkpoints inside an epoch.
_CHECKPOINT_EVERY_S: Final = 120.0
_GRADIENT_NORM_MAX: Final = 5.0


class Trainer:
    """A run of `recipe` on `dataset`, from its checkpoint in `folder` on if there is one.

    The training split lies on the device as it is stored; order, augmentation and mirror images depend on the seed and
    on how far the run is alone, so that a run that was broken off goes on as if it had not been.

    Args:
        recipe: What to train.
        dataset: What on.
        folder: Where the checkpoint and the log of figures lie.
        device: Where it runs.
        twin: The trained full-precision twin, where the run starts from it.
        teacher: Who the run learns from.
        stop: Asked after every step: whether to stop there.

    Raises RecipeError for a recipe that cannot be built, TrainingError where one batch is more than there is, or
    the data have another number of classes.
    """

    def __init__(
        self,
        recipe: Recipe,
        dataset: Dataset,
        folder: Path,
        device: torch.device,
        *,
        twin: Trainable | None = None,
        teacher: Teacher | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.recipe, self.dataset, self.device = recipe, dataset, device
        self.steps_per_epoch = len(dataset.train.y) // recipe.schedule.batch_size
        if self.steps_per_epoch == 0:
            raise TrainingError(
                f"{dataset.name} has fewer training samples than one batch of {recipe.schedule.batch_size}"
            )
        if recipe.blueprint().classes != len(dataset.classes):
            raise TrainingError(
                f"recipe {recipe.name} has {recipe.blueprint().classes} classes, {dataset.name} {len(dataset.classes)}"
                ": change architecture.classes, or dataset"
            )
        self._x = torch.from_numpy(dataset.train.x).to(device)
        self._y = torch.from_numpy(dataset.train.y).to(device)
        torch.manual_seed(recipe.seed)
        self.network: Trainable = untrained(recipe).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if isinstance(self.network, WhitenedNet):
            self.network.whiten(self._x)
        if recipe.start == "twin":
            assert twin is not None
            start_from(self.network, twin)
        if recipe.start == "trunk" and isinstance(self.network, HybridNetwork):
            start_from_trunk(self.network, recipe.trunk, self._x)
        self.binarization = ProgressiveBinarization(self.network, recipe.schedule.binarize_weights_after)
        self.optimizers = build_optimizers(self.network, recipe.schedule.model_copy(update={"lr": recipe.peak_lr}))
        self.checkpoint = Checkpoint(folder / f"{recipe.name}-s{recipe.seed}.pt", recipe.fingerprint())
        self.log = folder / f"{recipe.name}-s{recipe.seed}.jsonl"
        fill = torch.tensor(self.network.architecture.zero_point)
        self._augment = Augmenter(recipe, len(dataset.train.y), fill, device)
        self.asked_to_stop = stop
        self.epoch, self.step, self.seconds, self._loss_sum = 0, 0, 0.0, 0.0
        self._writing_s = 0.0
        self._prepared_for: tuple[bool, bool] | None = None
        self.precision: str | None = None
        self.machine = machine_kind(device)
        self.history: list[dict[str, float]] = []
        self.forward: Callable[[Tensor], HybridOutput] = self.network
        self.teacher = teacher
        if recipe.compile:
            self.forward = torch.compile(self.network)
        self._resume()

    @property
    def progress(self) -> float:
        """How much of the run is over, 0..1."""
        epochs = self.epoch + self.step / self.steps_per_epoch
        return progress_of(self.recipe.schedule, epochs=epochs, seconds=self.seconds)

    @property
    def finished(self) -> bool:
        """Whether the run has come to its end, and its last figures are noted."""
        return self.progress >= 1.0 and self.step == 0

    def choose_precision(self) -> str:
        """A trial of some steps of each; the network is put back afterwards."""
        before = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        moments = [copy.deepcopy(optimizer.state_dict()) for optimizer in self.optimizers]
        rows = torch.arange(self.recipe.schedule.batch_size, device=self.device)
        self._prepare()
        self._set_rates(0.0)
        chosen = choose_precision(lambda p: void(self._update(self._x[rows], self._x[rows], rows, p)), self.device)
        self.network.load_state_dict(before)
        for optimizer, state in zip(self.optimizers, moments, strict=True):
            optimizer.state.clear()
            optimizer.load_state_dict(state)
        return chosen

    def run_epoch(self, advance: Callable[[str], None]) -> None:
        """The rest of a pass over the training split, to its end, the run's or `stop`; then the checkpoint.

        At the end of the pass or of the run a line of figures is logged. `advance` is called after every step.
        Raises TrainingError for a loss that is no number.
        """
        assert self.precision is not None
        order = self._order()
        total = torch.zeros((), device=self.device)
        began = saved = time.perf_counter()
        self.seconds, self._writing_s = self.seconds + self._writing_s, 0.0
        self._prepare()
        while self.step < self.steps_per_epoch and self.progress < 1.0 and not self.asked_to_stop():
            if self._prepared_for != self._stage:
                self._prepare()
            rows = order[self.step * self.recipe.schedule.batch_size :][: self.recipe.schedule.batch_size]
            self.binarization.at(self.progress)
            self._set_rates(share_of_peak(self.recipe.schedule, self.progress))
            number = self.epoch * self.steps_per_epoch + self.step
            seen, taught = self._augment(self._x[rows], rows, self.epoch, number)
            total += self._update(seen, taught, rows, self.precision)
            self.step += 1
            now = time.perf_counter()
            self.seconds, began = self.seconds + now - began, now
            if now - saved > _CHECKPOINT_EVERY_S:
                self._loss_sum, saved = self._loss_sum + float(total), now
                total.zero_()
                self._save()
            advance(f"epoch {self.epoch + 1}" + ("" if self._timed else f"/{self.recipe.schedule.epochs}"))
        self._loss_sum += float(total)
        ended = self.step == self.steps_per_epoch or self.progress >= 1.0
        if math.isfinite(self._loss_sum) and self.step and ended:
            self._end_epoch()
        if self._timed:  # looking at the tuning split and writing are part of the minutes
            now = time.perf_counter()
            self.seconds, began = self.seconds + now - began, now
        self._save()
        if self._timed:
            self._writing_s = time.perf_counter() - began

    @property
    def _frozen(self) -> bool:
        """Whether stem and edge units still are what the trunk has made of them."""
        return self.progress < self.recipe.schedule.frozen_share

    @property
    def _stage(self) -> tuple[bool, bool]:
        """What of the network learns now: see `_prepare`."""
        return self._frozen, self._in_second_stage

    @property
    def _timed(self) -> bool:
        return self.recipe.schedule.minutes is not None

    def _end_epoch(self) -> None:
        mean_loss = self._loss_sum / self.step
        self.epoch, self.step, self._loss_sum = self.epoch + 1, 0, 0.0
        self._note(mean_loss)

    def _order(self) -> Tensor:
        """The rows of the training split in this epoch's order."""
        generator = torch.Generator().manual_seed((self.recipe.seed << 32) + self.epoch)
        return torch.randperm(len(self._y), generator=generator).to(self.device)

    def _resume(self) -> None:
        state = self.checkpoint.load()
        if state is None:
            return
        self.network.load_state_dict(state["network"])
        for optimizer, moments in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(moments)
        self.epoch, self.step, self.seconds = state["epoch"], state["step"], state["seconds"]
        self.history, self._loss_sum = state["history"], state["loss_sum"]
        if self.finished or state["machine"] == self.machine:
            self.machine, self.precision = state["machine"], state["precision"]

    def _save(self) -> None:
        """Writes the checkpoint. Raises TrainingError instead where the loss is no number any more."""
        if not math.isfinite(self._loss_sum):
            raise TrainingError(
                f"loss is {self._loss_sum} in epoch {self.epoch + 1}: lower the learning rate of {self.recipe.name}"
            )
        self.checkpoint.save(
            {
                "network": self.network.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
                "epoch": self.epoch,
                "step": self.step,
                "seconds": self.seconds,
                "loss_sum": self._loss_sum,
                "finished": self.finished,
                "precision": self.precision,
                "machine": self.machine,
                "history": self.history,
            }
        )

    def _loss(self, output: HybridOutput, labels: Tensor, teacher: Tensor | None) -> Tensor:
        losses = self.recipe.losses
        if losses.method == "joint":
            return joint_loss(output, labels, losses, teacher)
        loss = exit_loss if self._in_second_stage else final_loss
        return loss(output, labels, losses, teacher)

    @property
    def _in_second_stage(self) -> bool:
        """The last quarter of a run in two stages, in whole epochs where it is measured in them."""
        if self.recipe.losses.method != "two_stage":
            return False
        return self.progress >= 0.75 if self._timed else self.epoch >= max(1, round(0.75 * self.recipe.schedule.epochs))

    def _prepare(self) -> None:
        """In the second of two stages the backbone is frozen, batch statistics included; the exits learn alone.

        While a trunk is frozen, all behind it learns alone.
        """
        self._prepared_for = self._stage
        self.binarization.at(self.progress)
        self.network.train()
        if self.recipe.schedule.frozen_share > 0 and isinstance(self.network, HybridNetwork):
            for part in (self.network.stem, self.network.edge):
                part.requires_grad_(not self._frozen).train(not self._frozen)
        if self._in_second_stage and not isinstance(self.network, WhitenedNet):
            self.network.requires_grad_(False).eval()
            self.network.exits.requires_grad_(True).train()

    def _update(self, x: Tensor, taught: Tensor, rows: Tensor, precision: str) -> Tensor:
        """One step on samples `x` (N, H, W, C) of the split's `rows`; a teacher sees them as in `taught`."""
        self.network.zero_grad(set_to_none=True)
        teacher: Tensor | None = None
        with autocast(self.device, precision):
            output = self.forward(self.network.normalize(x))
            if self.teacher is not None:
                with torch.no_grad():
                    teacher = self.teacher(taught)
        loss = self._loss(output, self._y[rows], teacher)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_([p for p in self.network.parameters() if p.grad is not None], _GRADIENT_NORM_MAX)
        for optimizer in self.optimizers:
            optimizer.step()
        return loss.detach()

    def _set_rates(self, share: float) -> None:
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak_lr"] * share

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


def start_from(network: Trainable, twin: Trainable) -> None:
    """Copies every parameter and statistic of `twin` that `network` has in the same shape; the rest stays as it is."""
    own, known = network.state_dict(), twin.state_dict()
    network.load_state_dict({k: known[k] if k in known and known[k].shape == v.shape else v for k, v in own.items()})
