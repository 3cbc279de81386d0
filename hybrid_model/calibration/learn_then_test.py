"""Learn then Test: which points of a fixed path of thresholds keep their error rate, on samples that chose nothing.

Angelopoulos, Bates, Candès, Jordan and Lei 2021, Learn then Test: Calibrating Predictive Algorithms to Achieve Risk
Control, arXiv 2110.01052, section 2.3 (fixed-sequence testing).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

#: Samples that an exit should expect at the start of the walk, as a multiple of those without which no test can pass.
COMFORT = 2.0


def binomial_p_value(errors: int, samples: int, alpha: float) -> float:
    """P(X <= errors) for X ~ Binomial(samples, alpha): how likely so few errors are if the true rate is alpha.

    Small values speak against "the error rate is above alpha". Exact up to rounding: the terms are summed from their
    logarithms, relative to the greatest. Without samples it is 1.

    It is super-uniform though the number of samples that leave is random. Who leaves depends on inputs and thresholds
    alone, so among independent samples, given which of them leave, each is wrong independently with one and the same
    probability r, the exit's error rate. Given the count n the errors are therefore Binomial(n, r); where r > alpha the
    p-value is at most delta with probability at most delta for this n, hence for every n, hence on average over n.

    Raises ValueError unless 0 <= errors <= samples and 0 < alpha < 1.
    """
    if not 0 <= errors <= samples:
        raise ValueError(f"{errors} errors among {samples} samples cannot be")
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"an error rate to test lies between 0 and 1, not {alpha}")
    if errors == samples:
        return 1.0
    yes, no = math.log(alpha), math.log1p(-alpha)
    whole = math.lgamma(samples + 1)
    terms = [
        whole - math.lgamma(k + 1) - math.lgamma(samples - k + 1) + k * yes + (samples - k) * no
        for k in range(errors + 1)
    ]
    top = max(terms)
    return min(1.0, math.exp(top) * math.fsum(math.exp(term - top) for term in terms))


def point_p_value(
    taken: npt.NDArray[np.integer[Any]], wrong: npt.NDArray[np.bool_], enabled: Iterable[int], alpha: float
) -> float:
    """The largest p-value of the exits at which anybody can leave: small only where every one of them keeps `alpha`.

    taken (N,): the exit at which a sample left, -1 where it rose; wrong (N, E): whose answer there would be wrong.
    """
    counted = [(int(wrong[taken == e, e].sum()), int((taken == e).sum())) for e in enabled]
    return max(binomial_p_value(errors, samples, alpha) for errors, samples in counted)


def samples_needed(alpha: float, delta: float) -> float:
    """ln(delta) / ln(1 - alpha): with fewer samples not even an exit without errors has a p-value of at most delta."""
    return math.log(delta) / math.log1p(-alpha)


def walked(p_values: Iterable[float], delta: float) -> list[float]:
    """The p-values, taken in the order fixed beforehand, up to the first above `delta`: those at most `delta` pass.

    With probability at least 1 - delta no point that passes is a true null. A false pass needs the first true null on
    the walk to pass, which happens with probability at most delta; so nothing is spent on the number of points.
    """
    seen: list[float] = []
    for p_value in p_values:
        seen.append(p_value)
        if p_value > delta:
            break
    return seen
