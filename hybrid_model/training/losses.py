"""The losses that a hybrid network is trained by."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from hybrid_model.nn.network import HybridOutput
from hybrid_model.training.recipe import Losses


def distillation_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 x KL(softmax(teacher / T) || softmax(student / T)), mean over the batch (arXiv 1503.02531, section 2)."""
    target = F.softmax(teacher.detach().float() / temperature, dim=1)
    log_student = F.log_softmax(student.float() / temperature, dim=1)
    return F.kl_div(log_student, target, reduction="batchmean") * temperature**2


def _mixed(logits: Tensor, labels: Tensor, losses: Losses, source: Tensor | None, share: float) -> Tensor:
    """(1 - share) x cross entropy + share x distillation from `source` (N, K)."""
    if source is None or share == 0.0:
        return _cross_entropy(logits, labels, losses)
    soft = distillation_loss(logits, source, losses.distillation_temperature)
    if share == 1.0:
        return soft
    hard = _cross_entropy(logits, labels, losses)
    return (1.0 - share) * hard + share * soft


def _cross_entropy(logits: Tensor, labels: Tensor, losses: Losses) -> Tensor:
    weight = logits.new_tensor(losses.class_weights, dtype=torch.float32) if losses.class_weights else None
    return F.cross_entropy(logits.float(), labels, weight=weight, label_smoothing=losses.label_smoothing)


def exit_loss(output: HybridOutput, labels: Tensor, losses: Losses, teacher: Tensor | None = None) -> Tensor:
    """Sum over exits of weight x ((1 - d) x cross entropy + d x distillation).

    Distilled from the teacher's logits `teacher` (N, K) where given, else from the final classifier.
    """
    total = output.final.new_zeros((), dtype=output.final.float().dtype)
    source = output.final if teacher is None else teacher
    for weight, logits in zip(losses.exit_weights, output.exits, strict=True):
        if weight > 0.0:
            total = total + weight * _mixed(logits, labels, losses, source, losses.distillation)
    return total


def final_loss(output: HybridOutput, labels: Tensor, losses: Losses, teacher: Tensor | None = None) -> Tensor:
    """Cross entropy of the final classifier; with `teacher` (N, K) `teacher_share` of it is distilled from there."""
    return _mixed(output.final, labels, losses, teacher, losses.teacher_share)


def joint_loss(output: HybridOutput, labels: Tensor, losses: Losses, teacher: Tensor | None = None) -> Tensor:
    """Final loss + weighted exit losses (arXiv 2005.10851, section 3)."""
    return final_loss(output, labels, losses, teacher) + exit_loss(output, labels, losses, teacher)
