"""Stopping at declared looks: the same verdicts as with all replicates, for fewer trials."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import pytest
from simulation import CONFIRMED, Sweeps, at_most, difference

LOOKS = (4, 6, 8, 10, 12, 16, 20, 24)
AT_ONCE = 25
BAND = {"absolute": 1.0, "reason": "one standard deviation of a single difference counts as none here"}
CLAIM = difference("a", "b")


@dataclass(frozen=True)
class Truth:
    """A sweep's true effect, in standard deviations of one paired difference, and the claim that is made of it."""

    kind: str
    effect: float
    claim: dict[str, Any]


def truths(number: int, generator: numpy.random.Generator) -> list[Truth]:
    """Draw true effects from the mix that was declared before anything was judged.

    35 % large (1.5 to 3 standard deviations of one paired difference), 25 % moderate (0.8 to 1.5), 15 % small (0.2 to 0.5),
    25 % none at all, with a claim that declares a ``negligible`` band of ± 1. An effect has the claimed direction in two
    of three cases, and the other one in the third. All claims say "greater".
    """
    kinds = {
        "large": (0.35, 1.5, 3.0),
        "moderate": (0.25, 0.8, 1.5),
        "small": (0.15, 0.2, 0.5),
        "none": (0.25, 0.0, 0.0),
    }
    found = []
    for kind in generator.choice(list(kinds), size=number, p=[share for share, _, _ in kinds.values()]):
        _, low, high = kinds[kind]
        sign = 1.0 if generator.random() < 2 / 3 else -1.0
        claim = {**CLAIM, "negligible": BAND} if kind == "none" else CLAIM
        found.append(Truth(str(kind), sign * generator.uniform(low, high) if high else 0.0, claim))
    return found


def is_right(verdict: str, truth: Truth) -> bool:
    """Say whether a decided verdict agrees with the truth."""
    return verdict in CONFIRMED if truth.effect > 0 else verdict == "contradicted"


@pytest.mark.parametrize("number", [25, pytest.param(500, marks=pytest.mark.slow)])
def test_the_same_verdicts_for_at_most_six_tenths_of_the_trials(tmp_path: Path, number: int) -> None:
    """500 sweeps of the mix of ``truths`` with looks at 4, 6, 8, 10, 12, 16, 20 and 24 replicates.

    The verdict at the stop is compared with that of the same data under a plan of 24 replicates without looks. At least 95 %
    have the very same verdict (less standard errors of the simulation). Of the others, most are inconclusive in one
    of the two, as befits levels that are spent over looks; where one confirms and the other contradicts, one of them is a false
    decision, of which each may make 5 %. Where there is an effect of 0.8 standard deviations or more, either way,
    no two verdicts are opposite. At the median a sweep uses at most 60 % of its trials (asserted of all 500).
    """
    generator = numpy.random.default_rng([20260801, 21])
    mix = truths(number, generator)
    stopped, whole = [], []
    for start in range(0, number, AT_ONCE):
        some = mix[start : start + AT_ONCE]
        families = [[truth.claim] for truth in some]
        folders = [tmp_path / f"{start}-{kind}" for kind in ("looks", "whole")]
        for folder in folders:
            folder.mkdir()
        control = generator.normal(size=(len(some), 1, LOOKS[-1]))
        gain = numpy.array([truth.effect for truth in some])[:, None, None] + generator.normal(size=control.shape)
        values = numpy.concatenate([control + gain, control], axis=1)
        stopped += Sweeps(folders[0], "ab", families, LOOKS).run(values)
        whole += Sweeps(folders[1], "ab", families, LOOKS[-1]).judged(values)
    early = [sweep.judgements[0].verdict for sweep in stopped]
    full = [family[0].verdict for family in whole]
    shares = numpy.array([sweep.look / LOOKS[-1] for sweep in stopped])
    for kind in ("large", "moderate", "small", "none"):
        chosen = [index for index, truth in enumerate(mix) if truth.kind == kind]
        pairs = Counter((early[index], full[index]) for index in chosen)
        print(
            f"stopping  {kind:9s} {len(chosen):3d} sweeps, median share {numpy.median(shares[chosen]):.2f}: {dict(pairs)}"
        )
    same = float(numpy.mean([a == b for a, b in zip(early, full, strict=True)]))
    decided = Counter(
        "early only" if b == "inconclusive" else "full only" if a == "inconclusive" else "opposite"
        for a, b in zip(early, full, strict=True)
        if a != b
    )
    wrong = {
        name: sum(v != "inconclusive" and not is_right(v, truth) for v, truth in zip(verdicts, mix, strict=True))
        for name, verdicts in (("early", early), ("full", full))
    }
    print(f"stopping  same {same:.3f}, different {dict(decided)}, wrong {wrong}")
    print(f"stopping  median share {numpy.median(shares):.3f}, mean {shares.mean():.3f}")
    clear = [index for index, truth in enumerate(mix) if truth.kind in ("large", "moderate")]
    assert all(early[index] == full[index] or "inconclusive" in (early[index], full[index]) for index in clear)
    assert same >= 1 - at_most(0.05, number)
    assert number < 500 or numpy.median(shares) <= 0.60
    assert max(wrong.values()) / number <= at_most(0.05, number)


@pytest.mark.parametrize("number", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_sweeps_of_three_claims_stop_when_all_of_them_are_decided(tmp_path: Path, number: int) -> None:
    """Families of three claims from the same mix: the slowest decides, so less is saved; the verdicts are the same."""
    generator = numpy.random.default_rng([20260801, 22])
    claims = [(f"a{place}", f"b{place}") for place in range(3)]
    arms = [arm for pair in claims for arm in pair]
    opposite, same, shares = 0, [], []
    for start in range(0, number, AT_ONCE):
        count = min(AT_ONCE, number - start)
        mix = [truths(3, generator) for _ in range(count)]
        families = [
            [{**truth.claim, "treatment": a, "control": b} for truth, (a, b) in zip(some, claims, strict=True)]
            for some in mix
        ]
        effects = numpy.array([[truth.effect for truth in some] for some in mix])
        control = generator.normal(size=(count, 3, 1, LOOKS[-1]))
        gain = effects[:, :, None, None] + generator.normal(size=control.shape)
        values = numpy.concatenate([control + gain, control], axis=2).reshape(count, 6, LOOKS[-1])
        folders = [tmp_path / f"{start}-{kind}" for kind in ("looks", "whole")]
        for folder in folders:
            folder.mkdir()
        stopped = Sweeps(folders[0], arms, families, LOOKS).run(values)
        whole = Sweeps(folders[1], arms, families, LOOKS[-1]).judged(values)
        for sweep, family in zip(stopped, whole, strict=True):
            shares.append(sweep.look / LOOKS[-1])
            for one, two in zip(sweep.judgements, family, strict=True):
                same.append(one.verdict == two.verdict)
                opposite += not same[-1] and "inconclusive" not in (one.verdict, two.verdict)
    print(
        f"stopping  families of three: same {numpy.mean(same):.3f} of {len(same)}, opposite {opposite}, median share {numpy.median(shares):.3f}"
    )
    assert numpy.mean(same) >= 1 - at_most(0.05, len(same))
    assert opposite / number <= at_most(0.10, number)  # two families that may each be wrong in 5 %
