"""A/A certificates in a store, and which of them holds for a measurement.

::

    <store>/certificates/<certificate>/    certificate.json, samples.parquet, COMPLETE

What two identical arms look like depends on the machine as it is now and on the software: a certificate holds for
measurements of the same boot of the same host, with the same libraries, torch threads, device and dtype.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.store.atomic import COMPLETE, folder_written_once, to_json
from harness.store.attempt import read_samples
from harness.store.store import Store, new_attempt_id

if TYPE_CHECKING:
    import pandas

    from harness.measure.certificate import CertificateRun

FORMAT = 1
FOLDER = "certificates"
CERTIFICATE_FILE = "certificate.json"
SAMPLES = "samples"

TIMING_LIBRARIES = ("torch", "numpy", "scipy", "pandas")
"""Those that run the arms or turn their samples into a decision."""

FEWEST_PAIRS = 20
"""Decided pairs from which a 95th percentile means something: one in twenty."""


@dataclass(frozen=True)
class Certificate:
    """What A/A pairs came to on one machine; figures as in ``harness.measure.certificate.CertificateRun``.

    ``created`` is in seconds since the epoch; ``libraries`` are versions of ``TIMING_LIBRARIES``, None for one that is
    not installed; ``gpu`` is the name of the GPU that a ``cuda`` certificate was made on.
    """

    id: str
    created: float
    host: str | None
    boot_id: str | None
    libraries: Mapping[str, str | None]
    gpu: str | None
    device: str
    dtype: str
    batch: int
    threads: int
    pairs: int
    decided: int
    false_positives: int
    rate: float
    rate_low: float
    rate_high: float
    smallest_ratio: float
    half_width_ratio: float
    rounds: int
    dropped_rounds: int
    foreign_share: float | None
    seconds: float

    @property
    def undecided(self) -> int:
        """Pairs of which the busy rule left too few rounds."""
        return self.pairs - self.decided

    @property
    def made(self) -> str:
        """When it was made, as ``2026-03-01 12:30 UTC``."""
        return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(self.created))


def keep_certificate(
    store: Store, run: CertificateRun, environment: Mapping[str, Any], created: float | None = None
) -> Certificate:
    """Write a certificate with its raw samples, once, and return it.

    Args:
        environment: as ``harness.measure.environment.describe_environment(load_torch=True)`` gives it.
        created: seconds since the epoch; now by default.

    Raises:
        OSError: the disk is full or cannot be written; nothing is left then.
    """
    created = time.time() if created is None else created
    of_run = {field.name for field in fields(run)} & {field.name for field in fields(Certificate)}
    certificate = Certificate(
        id=new_attempt_id(created),
        created=created,
        host=environment.get("host"),
        boot_id=environment.get("boot_id"),
        libraries=_libraries(environment),
        gpu=_gpu(environment, run.device),
        **{name: getattr(run, name) for name in of_run},
    )
    with folder_written_once(certificate_folder(store, certificate)) as temporary:
        run.samples.to_parquet(temporary / f"{SAMPLES}.parquet", index=False)
        (temporary / CERTIFICATE_FILE).write_bytes(to_json({"format": FORMAT} | asdict(certificate)))
    return certificate


def certificate_folder(store: Store, certificate: Certificate) -> Path:
    return store.root / FOLDER / certificate.id


def certificate_samples(store: Store, certificate: Certificate) -> pandas.DataFrame:
    """Return the raw samples of a certificate, one row a duration, with the pair in the column ``pair``.

    Raises:
        DamagedAttempt: the table is missing or has other bytes than were written.
    """
    return read_samples(certificate_folder(store, certificate), SAMPLES)


def read_certificates(store: Store) -> list[Certificate]:
    """Return the complete certificates of a store, newest first; damaged ones are left out."""
    try:
        names = sorted(name for name in os.listdir(store.root / FOLDER) if not name.startswith("."))
    except OSError:
        return []
    found = (_read(store.root / FOLDER / name) for name in names)
    return sorted((one for one in found if one is not None), key=lambda one: one.created, reverse=True)


def _read(folder: Path) -> Certificate | None:
    """Return the certificate in a folder; None where it is incomplete, damaged, or of another format."""
    try:
        expected = json.loads((folder / COMPLETE).read_bytes())[CERTIFICATE_FILE]["sha256"]
        data = (folder / CERTIFICATE_FILE).read_bytes()
        if hashlib.sha256(data).hexdigest() != expected:
            return None
        document = json.loads(data)
        return Certificate(**document) if document.pop("format") == FORMAT else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def certificate_for(
    store: Store, environment: Mapping[str, Any], device: str, dtype: str = "float32"
) -> tuple[Certificate | None, str]:
    """Return the newest certificate that holds for a measurement, and the sentence that says why there is none.

    Args:
        environment: the stored environment of an attempt, torch's settings included.
        device: ``cpu``, ``cuda`` or ``cuda:N``.

    Returns:
        The certificate and an empty sentence, or None and the reason why the one that comes nearest does not hold.
    """
    nearest, reason = -1, "no A/A certificate for this machine (harness doctor --certify makes one)"
    for certificate in read_certificates(store):
        for passed, sentence in enumerate(_checks(certificate, environment, device, dtype)):
            if sentence:
                if passed > nearest:
                    nearest, reason = passed, sentence
                break
        else:
            return certificate, ""
    return None, reason


def _checks(certificate: Certificate, environment: Mapping[str, Any], device: str, dtype: str) -> Iterator[str]:
    """Yield for each condition of validity, in order, the sentence that says how it fails, empty where it holds."""
    kind = device.partition(":")[0]
    this = f"the A/A certificate of {certificate.made}"
    host = environment.get("host")
    same_host = host is not None and certificate.host == host
    yield "" if same_host else "no A/A certificate for this machine (harness doctor --certify makes one)"
    fitting = (certificate.device.partition(":")[0], certificate.dtype) == (kind, dtype)
    command = f"harness doctor --certify --device {kind} --dtype {dtype}"
    yield "" if fitting else f"no A/A certificate for {kind} and {dtype} on this machine ({command} makes one)"
    same_boot = certificate.boot_id == environment.get("boot_id")
    yield "" if same_boot else f"{this} has expired: the machine was booted between it and the measurement"
    wanted = _libraries(environment)
    changed = [
        f"{name} {certificate.libraries.get(name)}, not {wanted[name]}"
        for name in TIMING_LIBRARIES
        if certificate.libraries.get(name) != wanted[name]
    ]
    yield f"{this} has expired: it was made with another set of libraries ({'; '.join(changed)})" if changed else ""
    gpu = _gpu(environment, device)
    yield "" if certificate.gpu == gpu else f"{this} was made on {certificate.gpu}, not on {gpu}"
    threads = (environment.get("torch") or {}).get("threads")
    made_with = f"{certificate.threads} thread" + ("s" if certificate.threads != 1 else "")
    ran_with = "ran with " + str(threads) if threads is not None else "did not load torch"
    same_threads = certificate.threads == threads
    yield "" if same_threads else f"{this} was made with {made_with}, and the trial {ran_with}"
    enough = certificate.decided >= FEWEST_PAIRS
    yield "" if enough else f"{this} decided only {certificate.decided} pairs; {FEWEST_PAIRS} are needed"


def _libraries(environment: Mapping[str, Any]) -> dict[str, str | None]:
    versions = environment.get("libraries") or {}
    return {name: versions.get(name) for name in TIMING_LIBRARIES}


def _gpu(environment: Mapping[str, Any], device: str) -> str | None:
    """Return the name of the GPU that ``device`` means; None for the CPU."""
    kind, _, number = device.partition(":")
    gpus = (environment.get("torch") or {}).get("gpus") or []
    index = int(number or 0)
    return gpus[index].get("name") if kind == "cuda" and index < len(gpus) else None
