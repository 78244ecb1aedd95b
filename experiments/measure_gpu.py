"""Everything that this project measures on a GPU, in one call: ``make measure-gpu STORE=DIR``.

Each step is a command of the harness, so whatever is interrupted goes on with the next call, and what is done is not
done again. A step that takes longer than its budget is stopped in the same way.
"""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from harness.errors import UserError, listed, nearest
from harness.plan.device import require_device

INTERRUPTED, UNUSABLE = 130, 2
GRACE_SECONDS = 60.0
"""How long a command that was told to stop may take for it."""
PACKED = ("rdrop-alpha", "gpu")
"""The sweep of small trials that is run one, two, four and eight at a time; its trials count like any others."""
AT_A_TIME = (1, 2, 4, 8)
PACKING_FILE = "packing.json"

Command = tuple[str, ...]


@dataclass(frozen=True)
class Step:
    """A part of the whole that can be asked for by itself: its commands, as arguments of ``harness``.

    ``minutes`` is its budget where the call names none: about what it was thought to take, with room.
    """

    name: str
    what: str
    commands: tuple[Command, ...]
    minutes: float


def sweep(spec: str, profile: str, device: str = "cuda") -> Command:
    """Return the command that runs a spec under a profile."""
    return ("run", spec, "--profile", profile, "--device", device)


STEPS = (
    Step(
        "certify",
        "how often this machine calls identical systems different",
        tuple(("doctor", "--certify", "--device", "cuda", "--dtype", dtype) for dtype in ("float32", "bfloat16")),
        10,
    ),
    Step("cost", "parameters and operations of ViLT's Table 6, counted", (sweep("vilt-cost", "laptop", "cpu"),), 5),
    Step("fairness", "ViLT and its rivals at their best", (sweep("vilt-fairness", "gpu"),), 40),
    Step("batch", "the same from one pair a request to 256", (sweep("vilt-batch", "gpu"),), 40),
    Step(
        "profile",
        "where the time of a request goes",
        (
            (
                "profile",
                "vilt-speed",
                "--profile",
                "table6",
                "--device",
                "cuda",
                "--arm",
                "system=vilt-b32",
                "--arm",
                "system=uniter-base",
            ),
        ),
        10,
    ),  # fmt: skip
    Step("table6", "all rows of ViLT's Table 6", (sweep("vilt-speed", "table6"),), 30),
    Step("packing", "small trials, several at a time", (sweep(*PACKED),), 8),
    Step("paper", "all rows, with the rounds of the paper's own fidelity", (sweep("vilt-speed", "paper"),), 180),
    Step("rdrop", "R-Drop's alpha on a GPU's budget", (sweep("rdrop-alpha", "gpu"),), 300),
    Step("simclr", "SimCLR's head on a GPU's budget", (sweep("simclr-head", "gpu"),), 1200),
    Step("clip", "CLIP's prompts on a GPU's budget", (sweep("clip-prompts", "gpu"),), 1200),
)


@click.command()
@click.option("--store", required=True, metavar="DIR", help="Where results go.")
@click.option("--only", multiple=True, metavar="STEP", help="A step by itself; may be given again for more.")
@click.option(
    "--minutes", type=click.FloatRange(min=0.01), metavar="N", help="The budget of each step, in place of its own."
)
@click.option("--dry-run", is_flag=True, help="Show the steps, their budgets and commands, and run nothing.")
def measure_gpu(store: str, only: tuple[str, ...], minutes: float | None, dry_run: bool) -> int:
    """Measure on this machine's GPU whatever this project measures on one, step by step, and say what came out."""
    steps = chosen(only)
    if dry_run:
        for step in steps:
            click.echo(f"{step.name}: {step.what} (at most {minutes or step.minutes:g} min)")
            for command in step.commands:
                click.echo(f"  harness {shlex.join((*command, '--store', store))}")
        return 0
    try:
        require_device("cuda")
    except UserError:
        raise UserError(
            "measure-gpu: torch finds no CUDA GPU on this machine; nothing was measured, --dry-run shows what would be"
        ) from None
    from experiments.gpu_findings import findings

    place = Path(store)
    status = run_steps(steps, place, minutes, Harness(place))
    for sentence in findings(place, place / PACKING_FILE):
        click.echo(sentence)
    click.echo(f"to keep it: copy {place} to experiments/vilt/measured/NAME-OF-THE-MACHINE and commit that; "
               "'harness report --profile gpu --compare' with that folder shows it beside other results")  # fmt: skip
    return status


def chosen(only: Sequence[str]) -> list[Step]:
    """Return the steps of these names, in their order; all where none is named.

    Raises:
        UserError: there is no such step.
    """
    known = [step.name for step in STEPS]
    for name in only:
        if name not in known:
            raise UserError(f"--only {name}: there is no such step{nearest(name, known)} (known: {listed(known)})")
    return [step for step in STEPS if not only or step.name in only]


class Harness:
    """Runs commands of the harness on a store, in processes of their own."""

    def __init__(self, store: Path) -> None:
        self._store = store

    def __call__(self, command: Command, seconds: float) -> int | None:
        """Run a command for at most so long and return its exit status; None where it had to be stopped."""
        process = subprocess.Popen([sys.executable, "-m", "harness", *command, "--store", str(self._store)])
        try:
            return process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            # As Ctrl-C would: what is finished stays, and the same command goes on later.
            process.send_signal(signal.SIGINT)
        except KeyboardInterrupt:
            # A terminal has told the command as well.
            process.wait(timeout=GRACE_SECONDS)
            raise
        try:
            process.wait(timeout=GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return None


Runner = Callable[[Command, float], int | None]


def run_steps(steps: Iterable[Step], store: Path, minutes: float | None, run: Runner) -> int:
    """Run the steps one after the other, each within its budget, and return the worst exit status.

    One that fails does not keep the next from being tried.
    """
    worst = 0
    for step in steps:
        seconds = 60 * (minutes or step.minutes)
        click.echo(f"== {step.name}: {step.what} (at most {seconds / 60:g} min)", err=True)
        try:
            status = _packing(step, store, seconds, run) if step.name == "packing" else _plain(step, seconds, run)
        except KeyboardInterrupt:
            click.echo("interrupted; the same call goes on where it stopped", err=True)
            return INTERRUPTED
        if status is None:
            click.echo(
                f"== {step.name}: its {seconds / 60:g} minutes are over; the same call goes on with it", err=True
            )
        worst = max(worst, status or 0)
    return worst


def _plain(step: Step, seconds: float, run: Runner) -> int | None:
    """Run a step's commands within one budget; None where it was used up."""
    end = time.monotonic() + seconds
    worst = 0
    for command in step.commands:
        status = run(command, max(0.01, end - time.monotonic()))
        if status is None:
            return None
        worst = max(worst, status)
    return worst


def _packing(step: Step, store: Path, seconds: float, run: Runner) -> int | None:
    """Run the small trials so and so many at a time, each for a part of the budget, and keep how fast they went."""
    from experiments.gpu_findings import finished_since, packed

    found: list[dict[str, Any]] = []
    (command,) = step.commands
    for number in AT_A_TIME:
        began = time.time()
        status = run((*command, "--jobs", str(number)), seconds / len(AT_A_TIME))
        trials = finished_since(store, PACKED[0], began)
        found.append(packed(number, trials))
        if status is not None:
            # Nothing was left to run, or the sweep failed: more at a time would not tell more.
            break
    (store / PACKING_FILE).write_text(json.dumps(found, indent=1))
    return status


def main() -> None:
    """Run the command; a user's mistake is one sentence and exit status 2."""
    try:
        status = measure_gpu(standalone_mode=False)
    except UserError as error:
        click.echo(f"harness: {error}", err=True)
        status = UNUSABLE
    except click.ClickException as error:
        click.echo(f"harness: {error.format_message()}", err=True)
        status = UNUSABLE
    sys.exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
