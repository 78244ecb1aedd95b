"""Outcomes of single test items out of the sample tables of a claim's trials, by replicate, arm and item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy
import pandas

from harness.plan.state import TrialState
from harness.spec.claims import ClaimBase
from harness.spec.figures import Arm, Items
from harness.spec.models import level_name
from harness.store.attempt import read_samples
from harness.verdicts.data import ItemData
from harness.verdicts.observations import Observations

Setting = tuple[str, ...]
"""The levels of the unblocked factors that a claim leaves open: those of one trial of an arm and replicate."""


class UnequalItems(Exception):
    """One item is of two classes, so the trials did not see one test set."""


@dataclass(frozen=True)
class _Layout:
    """How a claim's items are told apart.

    ``settings`` are those planned for every arm, in the spec's order, and ``members`` the role and setting of each
    trial that runs an arm; ``item_level`` and ``cluster_level`` say whether the item, or its cluster, is a level of an
    unblocked factor and no column of the table.
    """

    items: Items
    factors: tuple[str, ...]
    settings: tuple[Setting, ...]
    members: dict[str, list[tuple[int, Setting]]]
    item_level: bool
    cluster_level: bool


def gather_items(claim: ClaimBase, counted: Sequence[TrialState], observations: Observations) -> ItemData:
    """Return the outcomes of the trials ``counted``, (replicates, items) for each arm, in an order of their own.

    Items of different settings are different items, unless the item is the level of a factor: then its outcome is the
    mean over all rows of its trial. Items that an arm or a replicate lacks are left out of all; a replicate counts if
    every arm has finished in every setting.

    Raises:
        KeyError, TypeError: the samples lack a column, or hold in it what is no outcome.
        DamagedAttempt: the samples have other bytes than were written.
        UnequalItems: an item has one class in one row and another one elsewhere.
    """
    layout = _layout(claim, observations)
    arms = list(claim.arms().values())
    found: dict[tuple[int, int, Setting], pandas.Series] = {}
    clusters: dict[object, str] = {}
    for entry in counted:
        assert entry.counted is not None
        samples = read_samples(entry.counted.folder, layout.items.table)
        for role, setting in layout.members.get(entry.trial.id, ()):
            rows = _rows_of(arms[role], entry, samples)
            found[entry.trial.replicate, role, setting] = _outcomes(claim, layout, entry, rows)
            _note_clusters(clusters, layout, entry, setting, rows)
    cells = [(role, setting) for setting in layout.settings for role in range(len(arms))]
    whole = sorted({r for r, _, _ in found if cells and all((r, *cell) in found for cell in cells)})
    if not whole:
        nothing = numpy.empty((0, 0))
        return _in_words(layout, numpy.empty(0, dtype=int), numpy.empty(0, dtype=object), (nothing,) * len(arms))
    columns = [(r, role) for r in whole for role in range(len(arms))]
    tables = [
        pandas.concat([found[r, role, setting] for r, role in columns], axis=1, join="inner", keys=range(len(columns)))
        for setting in layout.settings
    ]
    outcomes = pandas.concat(tables)
    if layout.item_level:
        # Settings of one level weigh alike in it, and one that is no number makes it none.
        keys: list[object] = list(dict.fromkeys(outcomes.index))
        table = numpy.array([outcomes.loc[[level]].to_numpy(dtype=float).mean(axis=0) for level in keys])
    else:
        keys = [(setting, item) for setting, part in zip(layout.settings, tables, strict=True) for item in part.index]
        table = outcomes.to_numpy(dtype=float)
    values = table.T.reshape(len(whole), len(arms), len(keys))
    # A trial without a single row has an outcome that is no number, and no cluster.
    names = numpy.array([clusters.get(key, "") for key in keys], dtype=object)
    return _in_words(layout, numpy.array(whole), names, tuple(values[:, role, :] for role in range(len(arms))))


def _layout(claim: ClaimBase, observations: Observations) -> _Layout:
    items: Items = claim.items  # type: ignore[attr-defined]
    plain = [factor.name for factor in observations.state.design.plain_factors]
    factors = tuple(name for name in observations.open_factors(claim) if name in plain)
    levels = [observations.column(name) for name in factors]
    members: dict[str, dict[tuple[int, Setting], None]] = {}
    planned: list[set[Setting]] = []
    for role, arm in enumerate(claim.arms().values()):
        planned.append(set())
        for row in numpy.flatnonzero(observations.mask(arm)):
            setting = tuple(str(column[row]) for column in levels)
            planned[role].add(setting)
            members.setdefault(observations.entries[row].trial.id, {})[role, setting] = None
    ranks = [{level: rank for rank, level in enumerate(observations.levels(name))} for name in factors]
    settings = sorted(
        set.intersection(*planned), key=lambda s: [rank[level] for rank, level in zip(ranks, s, strict=True)]
    )
    return _Layout(
        items,
        factors,
        tuple(settings),
        {trial: list(places) for trial, places in members.items()},
        items.item in plain,
        items.cluster in plain,
    )


def _rows_of(arm: Arm, entry: TrialState, samples: pandas.DataFrame) -> pandas.DataFrame:
    """Return an arm's rows of a trial's table: those at its levels of blocked factors."""
    for factor in entry.trial.blocked:
        if factor in arm:
            samples = samples[samples[factor].astype(str) == level_name(arm[factor])]
    return samples


def _outcomes(claim: ClaimBase, layout: _Layout, entry: TrialState, rows: pandas.DataFrame) -> pandas.Series:
    """Return the outcome of each item of one trial and arm, by item."""
    if layout.item_level:
        return pandas.Series(
            [float(rows[claim.metric].mean(skipna=False))], index=[level_name(entry.trial.arm[layout.items.item])]
        )
    return rows.groupby(layout.items.item)[claim.metric].mean()


def _note_clusters(
    clusters: dict[object, str], layout: _Layout, entry: TrialState, setting: Setting, rows: pandas.DataFrame
) -> None:
    """Add the cluster of each item of one trial and arm.

    Raises:
        UnequalItems: it is known to be of another one.
    """
    items, levels = layout.items, entry.trial.arm
    ids = [level_name(levels[items.item])] * len(rows) if layout.item_level else rows[items.item]
    names = [level_name(levels[items.cluster])] * len(rows) if layout.cluster_level else rows[items.cluster]
    where = ", ".join(f"{factor} {level}" for factor, level in zip(layout.factors, setting, strict=True))
    for item, name in dict.fromkeys(zip(ids, names, strict=True)):
        key = item if layout.item_level else (setting, item)
        # Classes of different settings are different classes; what groups whole trials means the same in all of them.
        own = f"{name} of {where}" if where and not layout.item_level and not layout.cluster_level else str(name)
        if clusters.setdefault(key, own) != own:
            raise UnequalItems(
                f"the item {item} has the {items.cluster} {clusters[key]} in one place and {own} in another, so the "
                "trials did not see one test set"
            )


def _in_words(
    layout: _Layout, replicates: numpy.ndarray, classes: numpy.ndarray, arms: tuple[numpy.ndarray, ...]
) -> ItemData:
    """Return outcomes with words for what the items are, what one cluster is, and what several are."""
    items = layout.items
    what = f"levels of {items.item}" if layout.item_level else "items"
    if layout.cluster_level:
        several = f"levels of {items.cluster}"
    else:
        several = "classes" if items.cluster == "class" else f"values of {items.cluster}"
    one_set = not layout.item_level and not layout.cluster_level and len(layout.settings) == 1
    return ItemData(replicates, classes, arms, what, items.cluster, several, one_set)
