"""The losses that a hybrid network is trained by."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from hybrid_model.nn.network import HybridOutput
from hybrid_model.training.recipe import Losses


def distillation_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 x KL(softmax(teacher / T) || softmax(student / T)), mean over the batch (arXiv 1503.02531, section 2)."""
    target = F.softmax(teacher.detach().float() / temperature, dim=1)
    log_student = F.log_softmax(student.float() / temperature, dim=1)
    return F.kl_div(log_student, target, reduction="batchmean") * temperature**2


def exit_loss(output: HybridOutput, labels: Tensor, losses: Losses, teacher: Tensor | None = None) -> Tensor:
    """Sum over exits of weight x ((1 - d) x cross entropy + d x distillation).

    Distilled from the twin's logits `teacher` (N, K) where given, else from the final classifier.
    """
    total = output.final.new_zeros((), dtype=output.final.float().dtype)
    source = output.final if teacher is None else teacher
    for weight, logits in zip(losses.exit_weights, output.exits, strict=True):
        if weight == 0.0:
            continue
        hard = F.cross_entropy(logits.float(), labels, label_smoothing=losses.label_smoothing)
        soft = distillation_loss(logits, source, losses.distillation_temperature) if losses.distillation else 0.0
        total = total + weight * ((1 - losses.distillation) * hard + losses.distillation * soft)
    return total


def final_loss(output: HybridOutput, labels: Tensor, losses: Losses, teacher: Tensor | None = None) -> Tensor:
    """Cross entropy of the final classifier; with `teacher` (N, K) its share `losses.teacher` is distilled from it."""
    hard = F.cross_entropy(output.final.float(), labels, label_smoothing=losses.label_smoothing)
    if teacher is None:
        return hard
    soft = distillation_loss(output.final, teacher, losses.distillation_temperature)
    return (1 - losses.teacher) * hard + losses.teacher * soft


def joint_loss(output: HybridOutput, labels: Tensor, losses: Losses, teacher: Tensor | None = None) -> Tensor:
    """Final loss + weighted exit losses (arXiv 2005.10851, section 3)."""
    return final_loss(output, labels, losses, teacher) + exit_loss(output, labels, losses, teacher)
