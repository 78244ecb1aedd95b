"""``harness doctor``: is this machine fit to measure on?"""

from __future__ import annotations

import shutil
from typing import Any

import click

from harness.cli.certify import certify_machine, check_choices, current_certificate
from harness.cli.options import store_option
from harness.errors import UserError
from harness.store.store import Store

SECONDS = 2.0
FOREIGN_SHARE = 0.10
SPREAD = 0.85
PAIRS = 60
LARGEST_BATCH = 1024


@click.command("doctor")
@store_option
@click.option("--certify", is_flag=True, help="Make the A/A certificate: about a minute of timing identical arms.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True,
              help="The certificate's device.")  # fmt: skip
@click.option("--dtype", default="float32", show_default=True, metavar="TYPE", help="The certificate's torch dtype.")
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="Its torch threads (default: all CPUs).")
@click.option("--batch", type=click.IntRange(1, LARGEST_BATCH), metavar="N", help="Items a request (default: 1).")
@click.option("--pairs", type=click.IntRange(min=1), metavar="N", help=f"Identical pairs to time (default: {PAIRS}).")
def doctor_command(
    store: str | None,
    certify: bool,
    device: str,
    dtype: str,
    threads: int | None,
    batch: int | None,
    pairs: int | None,
) -> None:
    """Show the machine, its ceilings and what else is running, and say what would spoil a measurement."""
    check_choices(dtype, threads)
    if certify:
        certify_machine(Store.at(store), device, dtype, batch or 1, pairs or PAIRS, threads)
        return
    if batch is not None or pairs is not None:
        raise UserError(f"{'--batch' if batch is not None else '--pairs'}: is used with --certify only")
    from harness.measure.environment import describe_environment

    environment = describe_environment(load_torch=True)
    cpu, torch = environment["cpu"], environment["torch"] or {}
    quota = environment["cgroup_cpu_quota"] or "none"
    click.echo(f"CPU       {cpu['model']}, {len(cpu['affinity'] or [])} usable, quota {quota}")
    click.echo(f"memory    {(environment['memory_bytes'] or 0) / 2**30:.1f} GiB")
    click.echo(f"Python    {environment['python']}, torch {torch.get('version')}, {torch.get('threads')} threads")
    gpus = torch.get("gpus") or []
    click.echo("GPU       " + (", ".join(str(gpu.get("name")) for gpu in gpus) or "none that torch can use"))
    advice = _store(Store.at(store)) + _cpu(environment) + _probes()
    click.echo(current_certificate(Store.at(store), environment, device, dtype, threads))
    for sentence in advice:
        click.echo(f"note: {sentence}")
    if not advice:
        click.echo("nothing here would spoil a measurement")


def _store(store: Store) -> list[str]:
    if problem := store.problem():
        return [problem]
    free = shutil.disk_usage(store.root).free
    click.echo(f"store     {store.root}, {free / 2**30:.1f} GiB free")
    return [f"the store's disk has {free / 2**20:.0f} MiB left"] if free < 2**30 else []


def _cpu(environment: dict[str, Any]) -> list[str]:
    advice = []
    quota, usable = environment["cgroup_cpu_quota"], len(environment["cpu"]["affinity"] or [])
    if quota is not None and quota < usable:
        advice.append(f"a quota of {quota:g} CPUs is below the {usable} that can be seen; use --jobs and fewer threads")
    governors = set(environment["cpu"]["governors"] or []) - {"performance"}
    if governors:
        advice.append(f"the CPU governor is {', '.join(sorted(governors))}; 'performance' gives steadier times")
    return advice


def _probes() -> list[str]:
    """Probe the ceilings again and again for a while, and see who else took the CPUs meanwhile."""
    import time

    from harness.measure.devices import HostDevice
    from harness.measure.load import LoadMeter
    from harness.measure.probes import machine_probes
    from harness.measure.settings import TimingSettings

    probes = machine_probes(TimingSettings(), HostDevice())
    meter = LoadMeter()
    readings: dict[str, list[float]] = {probe.name: [] for probe in probes}
    meter.start()
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        for probe in probes:
            readings[probe.name].append(probe.measure())
    load = meter.stop()
    advice = []
    for probe in probes:
        rates = sorted(readings[probe.name])
        middle, best = rates[len(rates) // 2], rates[-1]
        by = f" (by {probe.library})" if probe.library else ""
        click.echo(f"{probe.name:16} best {best:.0f}, median {middle:.0f} {probe.unit}{by}")
        if middle < SPREAD * best:
            advice.append(f"the rate of '{probe.name}' swings: its median is {middle / best:.0%} of its best")
    if load.foreign_share is not None:
        click.echo(f"others use {load.foreign_share:.0%} of the CPUs")
        if load.foreign_share > FOREIGN_SHARE:
            advice.append(f"other processes take {load.foreign_share:.0%} of the CPUs; timing rounds will be dropped")
    return advice
