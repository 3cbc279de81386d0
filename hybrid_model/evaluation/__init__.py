"""A bundle on a whole split, without brokers: the edge engine and the cloud half, as the pipeline runs them."""

from hybrid_model.evaluation.answers import Answers, EvaluationError, answers, answers_on
from hybrid_model.evaluation.confidence import (
    ConfidenceGap,
    ReliabilityBin,
    error_by_chance,
    expected_calibration_error,
    reliability,
)
from hybrid_model.evaluation.corrupted import (
    CorruptedFigures,
    CorruptionReport,
    evaluate_corruptions,
    require_pictures,
    samples_to_corrupt,
)
from hybrid_model.evaluation.curve import Curve, CurvePoint, curve, require_path
from hybrid_model.evaluation.figures import (
    Accuracy,
    EnergyReduction,
    Evaluation,
    ExitErrorBound,
    GuardFigures,
    energy_reduction,
    evaluate,
    exit_error_rate,
)
from hybrid_model.evaluation.own_pictures import ScorablePictures, digests_of, scorable_pictures

__all__ = [
    "Accuracy",
    "Answers",
    "ConfidenceGap",
    "CorruptedFigures",
    "CorruptionReport",
    "Curve",
    "CurvePoint",
    "EnergyReduction",
    "Evaluation",
    "EvaluationError",
    "ExitErrorBound",
    "GuardFigures",
    "ReliabilityBin",
    "ScorablePictures",
    "answers",
    "answers_on",
    "curve",
    "digests_of",
    "energy_reduction",
    "error_by_chance",
    "evaluate",
    "evaluate_corruptions",
    "exit_error_rate",
    "expected_calibration_error",
    "reliability",
    "require_path",
    "require_pictures",
    "samples_to_corrupt",
    "scorable_pictures",
]
