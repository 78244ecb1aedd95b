"""What a claim's statistic is computed from: cells by replicate, rounds in processes, or outcomes of single items."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy

from harness.verdicts.cells import Cells
from harness.verdicts.statistics.means import pairing_correlation


class Data(Protocol):
    """Measurements of one claim that can be cut down: to the first replicates, or by one unit."""

    def first(self, replicates: int) -> Data:
        """Return what was measured in replicates numbered below ``replicates``."""
        ...

    def leave_one_out(self) -> Iterator[tuple[str, Data]]:
        """Yield the data without each replicate (process, round) in turn, named."""
        ...

    def correlation(self) -> float | None:
        """Return the correlation between the two arms over the units that pair; None where there is none to tell."""
        ...

    def unit(self) -> str:
        """Return what one unit of analysis is, in words."""
        ...


@dataclass(frozen=True)
class CellData:
    """One number for each replicate, role and setting."""

    cells: Cells

    def first(self, replicates: int) -> CellData:
        return CellData(self.cells.of(self.cells.replicates < replicates))

    def leave_one_out(self) -> Iterator[tuple[str, CellData]]:
        for index, replicate in enumerate(self.cells.replicates):
            keep = numpy.arange(len(self.cells.replicates)) != index
            yield f"replicate {replicate}", CellData(self.cells.of(keep))

    def correlation(self) -> float | None:
        if len(self.cells.roles) != 2:
            return None
        values = self.cells.of(self.cells.whole).values.mean(axis=2) if self.cells.settings else numpy.empty((0, 2))
        return _correlation(values[:, 0], values[:, 1])

    def unit(self) -> str:
        return "replicates"


@dataclass(frozen=True)
class RoundData:
    """One number a round, grouped by process; ``pairs`` has both arms' log medians where the number is their ratio."""

    replicates: tuple[int, ...]
    groups: tuple[numpy.ndarray, ...]
    pairs: tuple[numpy.ndarray, ...] = ()

    def first(self, replicates: int) -> RoundData:
        return self._of([index for index, number in enumerate(self.replicates) if number < replicates])

    def _of(self, chosen: list[int]) -> RoundData:
        pairs = tuple(self.pairs[index] for index in chosen) if self.pairs else ()
        return RoundData(tuple(self.replicates[i] for i in chosen), tuple(self.groups[i] for i in chosen), pairs)

    def leave_one_out(self) -> Iterator[tuple[str, RoundData]]:
        if len(self.groups) > 1:
            for index, number in enumerate(self.replicates):
                yield f"process {number}", self._of([i for i in range(len(self.groups)) if i != index])
            return
        for group in self.groups:
            for index in range(len(group)):
                yield f"kept round {index}", replace(self, groups=(numpy.delete(group, index),), pairs=())

    def correlation(self) -> float | None:
        if not self.pairs:
            return None
        both = numpy.concatenate(self.pairs, axis=1)
        return _correlation(both[0], both[1])

    def unit(self) -> str:
        filled = sum(len(group) > 0 for group in self.groups)
        if filled == 1:
            return "rounds of one process; how much processes differ is not in the interval"
        return f"rounds in {filled} processes, over the processes' means"


@dataclass(frozen=True)
class ItemData:
    """Outcomes of test items, (replicates, items), of one arm or of both, and the class of each item.

    ``items`` says in words what the items are, ``cluster`` what one class is and ``clusters`` what several are;
    ``one_set`` whether they are single items of one test set.
    """

    replicates: numpy.ndarray
    classes: numpy.ndarray
    arms: tuple[numpy.ndarray, ...]
    items: str = "items"
    cluster: str = "class"
    clusters: str = "classes"
    one_set: bool = True

    def first(self, replicates: int) -> ItemData:
        return self._of(self.replicates < replicates)

    def _of(self, chosen: numpy.ndarray) -> ItemData:
        return replace(self, replicates=self.replicates[chosen], arms=tuple(arm[chosen] for arm in self.arms))

    def leave_one_out(self) -> Iterator[tuple[str, ItemData]]:
        if len(self.replicates) > 1:
            for index, number in enumerate(self.replicates):
                yield f"replicate {number}", self._of(numpy.arange(len(self.replicates)) != index)
            return
        for name in dict.fromkeys(self.classes):
            keep = self.classes != name
            arms = tuple(arm[:, keep] for arm in self.arms)
            yield f"{self.cluster} {name}", replace(self, classes=self.classes[keep], arms=arms)

    @property
    def values(self) -> numpy.ndarray:
        """The outcomes, or the first arm's minus the second's, (replicates, items)."""
        return self.arms[0] - self.arms[1] if len(self.arms) == 2 else self.arms[0]

    def correlation(self) -> float | None:
        if len(self.arms) != 2:
            return None
        if not len(self.replicates):
            return None
        return _correlation(self.arms[0].mean(axis=0), self.arms[1].mean(axis=0))

    def unit(self) -> str:
        replicates = f" and {len(self.replicates)} replicates" if len(self.replicates) > 1 else ""
        count = len(set(self.classes))
        if self.items == self.clusters:
            return f"{count} {self.items}, each resampled as a whole{replicates}"
        return f"{self.items}, resampled by their {count} {self.clusters}{replicates}"


def _correlation(first: numpy.ndarray, second: numpy.ndarray) -> float | None:
    finite = numpy.isfinite(first).all() and numpy.isfinite(second).all()
    return pairing_correlation(first, second) if finite else None


def spread_within(data: Data) -> float | None:
    """Return the standard deviation of the metric over replicates within an arm, pooled over arms; None if untold."""
    if not isinstance(data, CellData):
        return None
    cells = data.cells.of(data.cells.whole)
    if len(cells.replicates) < 2 or not cells.settings:
        return None
    return float(numpy.sqrt(cells.values.mean(axis=2).var(axis=0, ddof=1).mean()))
