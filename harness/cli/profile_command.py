"""``harness profile``: arms of a trial under torch's profiler, in this process, kept beside the trial's attempts."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.main import INTERRUPTED
from harness.cli.options import Selection, design_options, select
from harness.cli.profile_lines import summary_lines
from harness.errors import UserError, listed
from harness.execution.alone import alone
from harness.execution.place import Place, available_cpus
from harness.execution.run import Run
from harness.execution.slurm.array import THREAD_VARIABLES
from harness.plan.device import require_device
from harness.plan.hooks import Hook, profiled_hook, require_ready
from harness.plan.profiled import Chosen, choose
from harness.plan.source import describe_source
from harness.spec.models import ALL_STREAMS, VARIED_STREAMS
from harness.store.atomic import TEMPORARY
from harness.store.attempt import Attempt, read_samples, sample_names, write_attempt
from harness.store.store import new_attempt_id

if TYPE_CHECKING:
    import pandas

    from harness.measure.profiling import ArmProfile, Profiled

QUIET = {"KINETO_LOG_LEVEL": "99", "TORCH_CPP_LOG_LEVEL": "ERROR"}
"""Read when torch is loaded; its profiler would write to standard error at each start, and of memory unknown to it."""
TRACES = "traces"
WAITING = "waiting until the timed trial or profile that runs on this machine now is done"


@click.command("profile")
@design_options
@click.option("--arm", "arms", multiple=True, metavar="FACTOR=LEVEL",
              help="An arm of the trial (default: all); a level of another factor chooses the trial.")  # fmt: skip
@click.option("--steps", type=click.IntRange(min=1), metavar="N", help="Profiled requests (default: by their time).")
@click.option(
    "--detailed", is_flag=True, help="Record shapes, memory and call stacks even where that slows an arm much."
)
def profile_command(arms: tuple[str, ...], steps: int | None, detailed: bool, **options: Any) -> int:
    """Look at arms of one trial of SPEC with torch's profiler: where the time of a request goes.

    Each arm is timed without the profiler too, just before and after. Traces and tables are kept in the store, for
    'harness report' and 'harness tensorboard'; no verdict is made of them.
    """
    selection = select(**options)
    hook = profiled_hook(selection.design)
    if hook is None:
        raise UserError(
            f"{selection.design.experiment.source.path}: names no function under 'profiled' that would make arms to "
            "profile; docs/profiles.md says how to write one"
        )
    chosen = choose(selection.design, [entry.trial for entry in selection.state.states], arms)
    require_device(selection.design.device)
    require_ready(selection.design, [chosen.trial])
    selection.store.require_writable()
    try:
        with alone(True, waiting=lambda: click.echo(f"{selection.design.name}: {WAITING}", err=True)):
            _profile(selection, chosen, hook, _How(steps, detailed))
    except KeyboardInterrupt:
        click.echo(f"{selection.design.name}: interrupted; nothing of this profile was kept", err=True)
        return INTERRUPTED
    return 0


@dataclass(frozen=True)
class _How:
    steps: int | None
    detailed: bool


def _profile(selection: Selection, chosen: Chosen, hook: Hook, how: _How) -> None:
    """Profile the arms, write one attempt with all of them, and show it."""
    design, store = selection.design, selection.store
    folder = store.profiles_folder(design.name, chosen.trial.id)
    with _scratch(folder) as scratch:
        started, clock = time.time(), time.perf_counter()
        run = _run(selection, chosen, scratch)
        moment = _moment()
        made = dict(_profiles(selection, chosen, hook, run, how))
        records = [{**({chosen.factor: arm} if chosen.factor else {}), **one.record} for arm, one in made.items()]
        attempt = Attempt(
            id=new_attempt_id(started),
            trial=chosen.trial.id,
            experiment=design.name,
            identity=chosen.trial.identity,
            arm=chosen.trial.arm,
            replicate=chosen.trial.replicate,
            records=tuple(records),
            failure=None,
            started=started,
            seconds=time.perf_counter() - clock,
            code=selection.state.code,
            environment=store.keep_environment(_environment(design.function.name)),
            moment=moment,
            run="profile",
            worker=f"profile@{Place.here().host}",
            place=Place.here().kept(),
        )
        traces = {arm: one.folder.relative_to(scratch) for arm, one in made.items()}
        try:
            kept = write_attempt(folder, attempt, _joined(made), scratch / "files")
        except OSError as error:
            raise UserError(f"the profile cannot be kept in {store.root}: {error.strerror}") from error
    _show(kept, attempt, chosen.factor)
    for trace in traces.values():
        click.echo(f"trace in {kept / trace}")
    click.echo(f"next: make tensorboard, or harness report {design.name}")


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """Give a folder in the store that is gone in the end, and with it those above it that are empty then."""
    scratch = folder / f"{TEMPORARY}{uuid.uuid4().hex}"
    scratch.mkdir(parents=True)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        with contextlib.suppress(OSError):
            for empty in (folder, folder.parent, folder.parent.parent):
                empty.rmdir()


def _run(selection: Selection, chosen: Chosen, scratch: Path) -> Run:
    """Return the trial's run, with the threads that a sweep would give it, set before torch is loaded."""
    design = selection.design
    threads = min(design.resources.cpus, available_cpus())
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    os.environ.update({name: level for name, level in QUIET.items() if name not in os.environ})
    import torch

    torch.set_num_threads(threads)
    return Run(
        design.name,
        chosen.trial.replicate,
        design.device,
        threads,
        scratch / "checkpoint",
        scratch / "files",
        varied_streams=str(chosen.trial.parameters.get(VARIED_STREAMS, ALL_STREAMS)),
    )


def _profiles(
    selection: Selection, chosen: Chosen, hook: Hook, run: Run, how: _How
) -> Iterator[tuple[str, ArmProfile]]:
    """Build the arms and profile one after the other, saying on standard error what is being done."""
    from harness.measure.devices import device_named
    from harness.measure.profiling import profile_arm

    name = selection.design.name
    click.echo(f"{name}: building {listed([arm for arm in chosen.arms if arm]) if chosen.factor else 'it'}", err=True)
    built = _checked(hook.with_run(chosen.cut, run), chosen, selection)
    device = device_named(run.device)
    for arm in chosen.arms:
        # Once it is profiled nobody needs it: its memory goes to those that follow.
        profiled = built.pop(arm)
        title = f"{name}: {arm}" if arm else name
        yield (
            arm,
            profile_arm(
                arm,
                profiled,
                device,
                run.files / TRACES,
                steps=how.steps,
                detailed=how.detailed,
                say=lambda text, title=title: click.echo(f"{title}: {text}", err=True),  # type: ignore[misc]
            ),
        )


def _checked(made: Any, chosen: Chosen, selection: Selection) -> dict[str, Profiled]:
    """Return what the spec's function made, an arm for each that was asked for.

    Raises:
        UserError: it made something else.
    """
    from harness.measure.profiling import Profiled

    function = selection.design.experiment.spec.profiled
    wanted = set(chosen.arms)
    if isinstance(made, Mapping) and set(made) == wanted and all(isinstance(one, Profiled) for one in made.values()):
        return dict(made)
    arms = listed(sorted(repr(arm) for arm in wanted))
    message = f"'{function}' must return a mapping with a Profiled for each of {arms}"
    raise selection.design.experiment.source.error(("profiled",), message)


def _joined(made: Mapping[str, ArmProfile]) -> dict[str, pandas.DataFrame]:
    """Return each table with the rows of all arms."""
    import pandas

    names = dict.fromkeys(name for one in made.values() for name in one.tables)
    return {name: pandas.concat([one.tables[name] for one in made.values()], ignore_index=True) for name in names}


def _show(kept: Path, attempt: Attempt, factor: str) -> None:
    """Print what was kept, read back from where it lies."""
    from harness.measure.profile_summary import summarise

    tables = {name: read_samples(kept, name) for name in sample_names(kept)}
    for summary, record in zip(summarise(attempt.records, factor, tables), attempt.records, strict=True):
        for line in summary_lines(summary, summary.arm or attempt.experiment, int(record["threads"])):
            click.echo(line)
        if record["plugin_problem"]:
            click.echo(f"  torch-tb-profiler cannot show this trace: {record['plugin_problem']}")
        click.echo("")


def _environment(function: str) -> dict[str, Any]:
    from harness.measure.environment import describe_environment

    return describe_environment() | {"source": describe_source(function)}


def _moment() -> dict[str, Any]:
    from harness.measure.environment import describe_moment

    return describe_moment()
