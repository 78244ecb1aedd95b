"""Certificates are written once, read back, and hold only for the machine, boot, libraries and threads they name."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pandas
import pytest

from harness.measure.certificate import CertificateRun
from harness.store.atomic import COMPLETE
from harness.store.attempt import DamagedAttempt
from harness.store.certificates import (
    Certificate,
    certificate_folder,
    certificate_for,
    certificate_samples,
    keep_certificate,
    read_certificates,
)
from harness.store.store import Store

VERSIONS = {"torch": "2.11.0", "numpy": "2.1", "scipy": "1.14", "pandas": "2.2", "submitit": "1.5"}
MARCH = 1_772_368_200.0  # 2026-03-01 12:30 UTC


def machine(**changes: Any) -> dict[str, Any]:
    torch = {"threads": 2, "gpus": [{"name": "H100"}]}
    return {"host": "here", "boot_id": "boot-1", "libraries": dict(VERSIONS), "torch": torch} | changes


def aa_run(**changes: Any) -> CertificateRun:
    figures: dict[str, Any] = {
        "pairs": 60,
        "decided": 58,
        "false_positives": 2,
        "rate": 2 / 58,
        "rate_low": 0.004,
        "rate_high": 0.119,
        "smallest_ratio": 1.021,
        "half_width_ratio": 1.018,
        "rounds": 20,
        "dropped_rounds": 31,
        "device": "cpu",
        "dtype": "float32",
        "batch": 1,
        "threads": 2,
        "foreign_share": 0.01,
        "seconds": 61.0,
        "outcomes": (),
        "samples": pandas.DataFrame({"pair": [0, 0], "round": [0, 0], "arm": ["a", "b"], "nanoseconds": [10, 11]}),
    }
    return CertificateRun(**figures | changes)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def keep(
    store: Store, created: float = MARCH, environment: dict[str, Any] | None = None, **changes: Any
) -> Certificate:
    return keep_certificate(store, aa_run(**changes), environment or machine(), created)


def reason(store: Store, environment: dict[str, Any], device: str = "cpu", dtype: str = "float32") -> str:
    found, sentence = certificate_for(store, environment, device, dtype)
    assert found is None
    return sentence


def test_a_certificate_reads_as_it_was_written(store: Store) -> None:
    kept = keep(store)
    assert read_certificates(store) == [kept]
    assert (kept.host, kept.boot_id, kept.threads, kept.gpu, kept.undecided) == ("here", "boot-1", 2, None, 2)
    assert kept.made == "2026-03-01 12:30 UTC" and kept.id.startswith("20260301T123000")
    assert set(kept.libraries) == {"torch", "numpy", "scipy", "pandas"}
    pandas.testing.assert_frame_equal(certificate_samples(store, kept), aa_run().samples)
    assert certificate_for(store, machine(), "cpu") == (kept, "")
    assert {path.name for path in certificate_folder(store, kept).iterdir()} == {
        "certificate.json",
        "samples.parquet",
        COMPLETE,
    }


def test_figures_that_nothing_decided_are_kept_as_they_are(store: Store) -> None:
    keep(store, decided=0, false_positives=0, rate=math.nan, smallest_ratio=math.nan, foreign_share=None)
    (found,) = read_certificates(store)
    assert math.isnan(found.rate) and math.isnan(found.smallest_ratio) and found.foreign_share is None


def test_the_newest_valid_one_is_found_and_newer_invalid_ones_do_not_hide_it(store: Store) -> None:
    keep(store, MARCH)
    second = keep(store, MARCH + 60)
    keep(store, MARCH + 120, threads=1)
    keep(store, MARCH + 180, decided=7)
    assert [one.created for one in read_certificates(store)] == [MARCH + 180, MARCH + 120, MARCH + 60, MARCH]
    assert certificate_for(store, machine(), "cpu") == (second, "")


def test_a_store_without_certificates(store: Store) -> None:
    sentence = "no A/A certificate for this machine (harness doctor --certify makes one)"
    assert read_certificates(store) == []
    assert reason(store, machine()) == sentence
    keep(store)
    assert reason(store, machine(host="there")) == sentence
    assert reason(store, {}) == sentence


OLD = "the A/A certificate of 2026-03-01 12:30 UTC "


@pytest.mark.parametrize(
    ("environment", "device", "dtype", "sentence"),
    [
        ({"boot_id": "boot-2"}, "cpu", "float32", OLD + "has expired: the machine was booted"),
        (
            {"libraries": VERSIONS | {"torch": "2.15.0"}},
            "cpu",
            "float32",
            OLD + "has expired: it was made with another set of libraries (torch 2.11.0, not 2.15.0)",
        ),
        ({"libraries": {}}, "cpu", "float32", "torch 2.11.0, not None"),
        ({"torch": {"threads": 1}}, "cpu", "float32", OLD + "was made with 2 threads, and the trial ran with 1"),
        ({"torch": None}, "cpu", "float32", OLD + "was made with 2 threads, and the trial did not load torch"),
        ({}, "cpu", "bfloat16", "no A/A certificate for cpu and bfloat16 on this machine (harness doctor --certify"),
        ({}, "cuda", "float32", "no A/A certificate for cuda and float32 on this machine"),
    ],
)
def test_why_none_holds(store: Store, environment: dict[str, Any], device: str, dtype: str, sentence: str) -> None:
    keep(store)
    assert sentence in reason(store, machine(**environment), device, dtype)


def test_libraries_that_time_nothing_do_not_matter(store: Store) -> None:
    kept = keep(store)
    assert certificate_for(store, machine(libraries=VERSIONS | {"submitit": "2"}), "cpu") == (kept, "")


def test_a_gpu_certificate_holds_for_that_gpu(store: Store) -> None:
    kept = keep(store, device="cuda")
    assert kept.gpu == "H100"
    assert certificate_for(store, machine(), "cuda:0") == (kept, "")
    other = machine(torch={"threads": 2, "gpus": [{"name": "A100"}]})
    assert "was made on H100, not on A100" in reason(store, other, "cuda")
    assert "cpu and float32" in reason(store, machine(), "cpu")


def test_too_few_decided_pairs_do_not_count(store: Store) -> None:
    keep(store, decided=19)
    assert "decided only 19 pairs; 20 are needed" in reason(store, machine())


def test_the_reason_is_that_of_the_nearest(store: Store) -> None:
    keep(store, threads=1)
    keep(store, MARCH + 60, machine(boot_id="boot-0"))
    keep(store, MARCH + 120, dtype="float64")
    assert "was made with 1 thread, and the trial ran with 2" in reason(store, machine())


def damage_bytes(folder: Path) -> None:
    path = folder / "certificate.json"
    path.write_text(path.read_text().replace("1.021", "1.001"))


def damage_marker(folder: Path) -> None:
    (folder / COMPLETE).write_text("{")


def remove_marker(folder: Path) -> None:
    (folder / COMPLETE).unlink()


def remove_document(folder: Path) -> None:
    (folder / "certificate.json").unlink()


@pytest.mark.parametrize("damage", [damage_bytes, damage_marker, remove_marker, remove_document])
def test_a_damaged_certificate_is_left_out(store: Store, damage: Any) -> None:
    kept = keep(store)
    damage(certificate_folder(store, keep(store, MARCH + 60)))
    assert read_certificates(store) == [kept]
    assert certificate_for(store, machine(), "cpu") == (kept, "")


def test_what_other_versions_or_strangers_left_is_passed_over(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = keep(store)
    monkeypatch.setattr("harness.store.certificates.FORMAT", 2)
    keep(store, MARCH + 60)
    monkeypatch.undo()
    (store.root / "certificates" / "notes.txt").write_text("mine")
    (store.root / "certificates" / ".tmp-1").mkdir()
    assert read_certificates(store) == [kept]


def test_damaged_samples_are_refused(store: Store) -> None:
    kept = keep(store)
    path = certificate_folder(store, kept) / "samples.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(DamagedAttempt, match="not those that were written"):
        certificate_samples(store, kept)


def test_a_failed_write_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Any, *arguments: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pandas.DataFrame, "to_parquet", full)
    with pytest.raises(OSError, match="No space left"):
        keep(store)
    assert list((store.root / "certificates").iterdir()) == []


def test_the_document_holds_every_field(store: Store) -> None:
    kept = keep(store)
    document = json.loads((certificate_folder(store, kept) / "certificate.json").read_text())
    assert set(document) == {"format"} | {field.name for field in dataclasses.fields(Certificate)}
