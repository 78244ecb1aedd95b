"""Which sections a report has, the specs that were named or every experiment with results, and how they are made."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

from harness.execution.place import available_cpus
from harness.spec.find import all_experiments, find_experiment
from harness.store.attempt import PROFILES
from harness.store.store import Store
from reports.kept import Kept, KeptSections, Wanted, kept_of
from reports.parts import Section


def sections_of(
    specs: Sequence[str],
    profile: str | None,
    device: str | None,
    store: Store,
    kept: KeptSections,
    *,
    beside: bool = False,
) -> list[Section]:
    """Return the sections of the named specs, or of every experiment and profile that has any results.

    What has to be made anew is made by several processes at once. ``beside`` says that the store is one of another
    machine or commit.

    Raises:
        OSError: an attempt was taken away meanwhile.
        UserError: a spec cannot be used.
    """
    wanted = list(_wanted(specs, profile, device, store, beside))
    found = {one.name: kept.find(one) for one in wanted}
    missing = [one for one in wanted if found[one.name] is None]
    for one, new in zip(missing, _make_all([(one, kept.inputs(one)) for one in missing]), strict=True):
        kept.add(one, new)
        found[one.name] = new
    return [entry.section for entry in found.values() if entry is not None and entry.section is not None]


def _wanted(
    specs: Sequence[str], profile: str | None, device: str | None, store: Store, beside: bool
) -> Iterator[Wanted]:
    if specs:
        yield from (Wanted(find_experiment(spec), profile, device, store, named=True, beside=beside) for spec in specs)
        return
    for experiment in all_experiments():
        if store.trial_ids(experiment.name) or (store.root / experiment.name / PROFILES).is_dir():
            known = experiment.spec.profiles
            for name in [profile] if profile else known:
                if name in known:
                    yield Wanted(experiment, name, device, store, named=False, beside=beside)


def _make_all(missing: Sequence[tuple[Wanted, str]]) -> Iterator[Kept]:
    processes = min(len(missing), available_cpus())
    if processes < 2:
        yield from map(_make, missing)
        return
    # Loaded before the processes part ways, so that each has it already.
    import reports.section  # noqa: F401

    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("fork")) as pool:
        yield from pool.map(_make, missing)


def _make(asked: tuple[Wanted, str]) -> Kept:
    """Make a section; None stands for one that was not asked for by name and has no results."""
    from reports.collect import collect, collect_beside
    from reports.section import make_section

    wanted, inputs = asked
    began = time.time_ns()
    how = collect_beside if wanted.beside else collect
    results = how(wanted.experiment, wanted.profile, wanted.store, wanted.device)
    shown = wanted.named or results.profiles.arms or any(entry.counted for entry in results.state.states)
    return kept_of(wanted, inputs, make_section(results) if shown else None, began)
