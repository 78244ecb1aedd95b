"""``harness doctor --certify``: the A/A certificate of this machine, made and shown."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

import click

from harness.errors import UserError, listed, nearest
from harness.execution.display import duration
from harness.execution.place import available_cpus
from harness.plan.device import require_device, resolve_device
from harness.store.certificates import (
    FEWEST_PAIRS,
    Certificate,
    certificate_folder,
    certificate_for,
    keep_certificate,
)
from harness.store.store import Store

PLAIN_SECONDS = 15.0
NOMINAL_RATE = 0.05
FOREIGN_SHARE = 0.10


def check_choices(dtype: str, threads: int | None) -> None:
    """Refuse a dtype or a thread count that this machine cannot be certified with.

    Raises:
        UserError: it cannot.
    """
    from harness.measure.identical_arms import DTYPES

    if dtype not in DTYPES:
        raise UserError(f"--dtype {dtype}: no such dtype{nearest(dtype, [*DTYPES])} (known: {listed([*DTYPES])})")
    if threads is not None and threads > available_cpus():
        raise UserError(f"--threads {threads}: this process may use {available_cpus()} CPUs; give that many or fewer")


def certify_machine(store: Store, device: str, dtype: str, batch: int, pairs: int, threads: int | None) -> None:
    """Make a certificate, store it and show it; an interrupt leaves nothing behind.

    Raises:
        UserError: no such device, no memory for the batch on it, or a store that cannot be written.
    """
    kind = resolve_device(device)
    require_device(kind)
    store.require_writable()
    import torch

    from harness.measure.certificate import certify
    from harness.measure.environment import describe_environment

    try:
        with _progress(sys.stderr) as report:
            run = certify(kind, dtype, batch, pairs, threads, progress=report)
    except torch.OutOfMemoryError as error:
        raise UserError(f"--batch {batch}: does not fit in the memory of {kind}; give a smaller one") from error
    try:
        certificate = keep_certificate(store, run, describe_environment(load_torch=True))
    except OSError as error:
        raise UserError(f"the certificate cannot be kept in {store.root}: {error.strerror}") from error
    for line in certificate_lines(certificate):
        click.echo(line)
    click.echo(f"kept in {certificate_folder(store, certificate)}")


def certificate_lines(certificate: Certificate) -> list[str]:
    """Return what a certificate says as plain lines, with a warning for each reason to distrust it."""
    lines = [
        f"A/A certificate: {certificate.false_positives} of {certificate.decided} identical pairs called different"
        + (f" ({_rate(certificate)})" if certificate.decided else ""),
        f"smallest ratio resolved: {certificate.smallest_ratio:.3f}"
        f" (5 % of identical pairs lie beyond it); {certificate.rounds} rounds a pair",
        f"made on {certificate.device} in {certificate.dtype}, batch {certificate.batch}, "
        f"threads {certificate.threads}, in {duration(certificate.seconds)}",
    ]
    if certificate.undecided:
        lines.append(f"warning: {certificate.undecided} of {certificate.pairs} pairs kept too few rounds to decide")
    if certificate.decided < FEWEST_PAIRS:
        lines.append(f"warning: verdicts ignore a certificate with fewer than {FEWEST_PAIRS} decided pairs")
    if certificate.rate_low > NOMINAL_RATE:
        lines.append("warning: the whole interval lies above 5 %: this machine makes equal systems look different")
    if (certificate.foreign_share or 0.0) > FOREIGN_SHARE:
        share = f"{certificate.foreign_share:.0%}".replace("%", " %")
        lines.append(f"warning: other processes took {share} of the CPUs; on a quiet machine the ratio may be smaller")
    return lines


def current_certificate(
    store: Store, environment: Mapping[str, Any], device: str, dtype: str, threads: int | None
) -> str:
    """Return one line on the certificate that holds for this machine now, or why there is none.

    Trials get the CPUs they ask for as torch threads; without ``threads`` all usable ones are meant.
    """
    torch = {**(environment.get("torch") or {}), "threads": threads or available_cpus()}
    certificate, reason = certificate_for(store, {**environment, "torch": torch}, resolve_device(device), dtype)
    if certificate is None:
        return reason
    return f"A/A certificate of {certificate.made}: ratios from {certificate.smallest_ratio:.3f}, {_rate(certificate)}"


def _rate(certificate: Certificate) -> str:
    low, high = 100 * certificate.rate_low, 100 * certificate.rate_high
    return f"{100 * certificate.rate:.1f} %, 95 % interval {low:.1f} to {high:.1f} %"


@contextmanager
def _progress(stream: TextIO) -> Iterator[Any]:
    """Give a function that shows (done, total): one live line on a terminal, a plain one now and then elsewhere."""
    live = stream.isatty()
    begin = time.monotonic()
    shown_at = -PLAIN_SECONDS

    def report(done: int, total: int) -> None:
        nonlocal shown_at
        now = time.monotonic()
        if not live and now - shown_at < PLAIN_SECONDS and done < total:
            return
        shown_at = now
        left = f", about {duration((now - begin) / done * (total - done))} left" if 0 < done < total else ""
        line = f"{done}/{total} identical pairs timed{left}"
        print(f"\r\033[K{line}" if live else line, end="" if live else "\n", file=stream, flush=True)

    try:
        yield report
    finally:
        if live:
            print("\r\033[K", end="", file=stream, flush=True)
