"""What the tests of claims' forms share: two arms, and numbers that agree to ten digits."""

from __future__ import annotations

import math

import numpy
from scipy import stats

A, B = {"arm": "a"}, {"arm": "b"}
TWO = {"factors": {"arm": ["a", "b"]}}
PAIRED = {"treatment": A, "control": B}
WITHIN = {"within": {"absolute": 1.0, "reason": "r"}}


def close(found: float, wanted: float) -> bool:
    return math.isclose(found, wanted, rel_tol=1e-10, abs_tol=1e-12)


def agree(found: tuple[float, float], wanted: tuple[float, float]) -> bool:
    return close(found[0], wanted[0]) and close(found[1], wanted[1])


def t_interval(values: numpy.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    return stats.t.interval(confidence, len(values) - 1, values.mean(), stats.sem(values))
