"""A bundle on a whole split, without brokers: the edge engine and the cloud half, as the pipeline runs them."""

from hybrid_model.evaluation.answers import Answers, EvaluationError, answers, answers_on
from hybrid_model.evaluation.curve import Curve, CurvePoint, curve, require_path
from hybrid_model.evaluation.figures import Accuracy, Evaluation, ExitErrorBound, evaluate
from hybrid_model.evaluation.interval import Interval, paired_interval, wilson_interval
from hybrid_model.evaluation.reduction import EnergyReduction, energy_reduction

__all__ = [
    "Accuracy",
    "Answers",
    "Curve",
    "CurvePoint",
    "EnergyReduction",
    "Evaluation",
    "EvaluationError",
    "ExitErrorBound",
    "Interval",
    "answers",
    "answers_on",
    "curve",
    "energy_reduction",
    "evaluate",
    "paired_interval",
    "require_path",
    "wilson_interval",
]
