"""The fifteen common corruptions of pictures, at five severities, and two faults of everyday cameras.

After Hendrycks and Dietterich 2019, Benchmarking Neural Network Robustness to Common Corruptions and Perturbations,
arXiv 1903.12261: section 4.1 and appendix B name the kinds. They are for tests alone: what is trained with them is no
longer tested by them. docs/how-to/corruptions.md says where they differ from the published ones.
"""

from hybrid_model.corruptions.camera import CAMERA, photograph
from hybrid_model.corruptions.catalog import KINDS, SEVERITIES, corrupt
from hybrid_model.corruptions.pictures import CorruptionError

__all__ = ["CAMERA", "KINDS", "SEVERITIES", "CorruptionError", "corrupt", "photograph"]
