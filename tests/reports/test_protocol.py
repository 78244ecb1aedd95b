"""Two protocols side by side: the paper's, as registered, and ours, as the design has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from harness.spec.load import load_experiment
from harness.spec.models import level_name
from harness.store.store import Store
from reports.collect import collect
from reports.protocol import LONGEST, Protocol, flattened, protocol_of

TRIAL = """
from collections.abc import Mapping
from typing import Annotated, Any

from harness.spec.signature import Placement


def train(
    *, run: Any, alpha: float, system: Mapping[str, Any], width: int = 1, data: dict[str, Any] | None = None,
    steps: int = 1, odd_name: str = "", folder: Annotated[str | None, Placement()] = None,
) -> list[dict[str, Any]]:
    return [{"system": name, "score": 1.0} for name in system]
"""
CLAIMS = {
    "common": {"paper": "P", "arxiv": "2101.00001v1", "locator": "Table 1", "statement": "S.", "metric": "score"},
    "protocol": [
        {"label": "data", "text": "ImageNet (section 2)", "basis": "source"},
        {"label": "alpha", "text": "1 and 5 (Table 7)", "basis": "source"},
        {"label": "data", "text": "CIFAR-10", "basis": "secondary"},
        {"label": "hardware", "text": "a P40 (section 4)", "basis": "source", "concerns": ["trained"]},
        {"label": "hardware", "text": "many TPUs (section 5)", "basis": "source", "concerns": ["elsewhere"]},
        {"label": "ceremony", "text": "none (section 6)", "basis": "source"},
    ],
    "claims": [{"id": "c", "form": "difference", "treatment": {"alpha": 1}, "control": {"alpha": 5}}],
}  # fmt: skip
SPEC: dict[str, Any] = {
    "experiment": "trained", "title": "T", "trial": "protocol_trials:train", "claims": ["c"],
    "factors": {
        "alpha": [1, 5],
        "width": {"levels": {"narrow": 8, "wide": 64}, "unit": "units"},
        "system": {"blocked": True, "levels": {"first": {"size": 1}, "second": {"size": 2}}},
    },
    "fixed": {"steps": 300, "odd_name": "x"},
    "replicates": {"min": 2, "max": 6, "looks": [2, 4, 6]},
    "select": {"factors": ["width"], "metric": "validation_score", "matched": {"width": "narrow"}, "at": {"alpha": 5}},
    "resources": {"cpus": 2, "gpus": 1, "memory_gib": 3, "minutes": 5, "fresh_process": True, "exclusive": True},
    "profiles": {
        "laptop": {
            "fidelity": "proxy",
            "fixed": {"data": {"source": "glyphs", "crop": {"scale": [0.2, 1.0]}, "blur": None}, "folder": "/some/where"},
            "deviations": ["glyphs in place of ImageNet", "no ceremony"],
        },
        "items": {"fidelity": "paper", "replicates": 1, "resources": {"cpus": 1, "gpus": 0}, "items": {"table": "o", "item": "i"}},
    },
    "report": {"labels": {"alpha=5": "the paper's, five", "second": "the other"}},
}  # fmt: skip


def protocol(folder: Path, spec: dict[str, Any] = SPEC, profile: str = "laptop") -> Protocol:
    (folder / "protocol_trials.py").write_text(TRIAL)
    (folder / "elsewhere.yaml").write_text("experiment: elsewhere\n")
    (folder / "claims.yaml").write_text(yaml.safe_dump(CLAIMS, sort_keys=False))
    (folder / "trained.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    results = collect(load_experiment(folder / "trained.yaml"), profile, Store(folder / "results"), "cpu")
    return protocol_of(results)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Protocol:
    return protocol(tmp_path_factory.mktemp("protocol"))


def test_the_papers_side_has_what_concerns_the_experiment(both: Protocol) -> None:
    assert both.paper == (
        ("data", "ImageNet (section 2); CIFAR-10, read at second hand"),
        ("alpha", "1 and 5 (Table 7)"),
        ("hardware", "a P40 (section 4)"),
        ("ceremony", "none (section 6)"),
    )
    assert both.differs == ("glyphs in place of ImageNet", "no ceremony")


def test_our_side_is_the_design(both: Protocol) -> None:
    ours = dict(both.here)
    assert ours["data"] == "source glyphs, crop scale (0.2, 1), blur none"
    assert ours["training"] == "steps 300"
    assert ours["model"] == "width: narrow units (8) · wide units (64)"
    assert ours["alpha"] == "1 · the paper's, five", "the paper has this label, so it stands beside it"
    assert ours["compared"] == "system: first · the other (interleaved in every trial)"
    assert ours["odd name"] == "x"
    assert ours["repetitions"] == "up to 6 replicates, judged after 2, 4 and 6"
    assert ours["tuning"] == (
        "every arm tries the same grid of width on 2 replicates of its own, at alpha 5 only, by validation score; "
        "reported at its best and, matched, at width narrow"
    )
    assert ours["hardware"] == (
        "on the CPU; for a trial 2 CPU cores, 1 GPU, 3 GiB, at most 5 minutes, a process of its own and nothing beside it"
    )
    assert int(ours["trials"].removesuffix(" planned")) > 0
    assert "/some/where" not in str(both.here), "where something lies is no part of a protocol"


def test_equal_labels_stand_side_by_side(both: Protocol) -> None:
    rows = both.beside()
    labels = [label for label, _, _ in rows]
    assert labels[:3] == ["data", "model", "training"] and len(set(labels)) == len(labels)
    assert set(labels) == {label for label, _ in (*both.paper, *both.here)}
    found = {label: (theirs, ours) for label, theirs, ours in rows}
    assert all(found["data"]) and all(found["hardware"]) and all(found["alpha"])
    assert found["ceremony"] == ("none (section 6)", "") and found["training"][0] == ""


def test_a_spec_without_claims_has_of_the_papers_side_what_names_it(tmp_path: Path) -> None:
    spec = {key: value for key, value in SPEC.items() if key not in ("claims", "select")}
    found = protocol(tmp_path, spec, "items")
    assert found.paper == (("hardware", "a P40 (section 4)"),) and found.differs == ()
    ours = dict(found.here)
    assert ours["repetitions"] == "1 replicate; judged over test items"
    assert ours["hardware"].startswith("on the CPU; for a trial 1 CPU core, 3 GiB, at most")
    assert "tuning" not in ours and ours["compared"].startswith("alpha: 1 · the paper's, five; system: ")


def test_a_long_parameter_is_cut(tmp_path: Path) -> None:
    profile = {**SPEC["profiles"]["laptop"], "fixed": {"odd_name": "word " * 500}}
    spec = {**SPEC, "fixed": {}, "profiles": {"laptop": profile}}
    text = dict(protocol(tmp_path, spec).here)["odd name"]
    assert text.endswith(" …") and len(text) <= LONGEST + 2


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text("ab_", min_size=1, max_size=4), inner, max_size=3)
        ),
        max_leaves=12,
    )
)
def test_flattening_loses_no_value(value: Any) -> None:
    found = flattened(value)
    assert found and all(leaf in ", ".join(found) for leaf in leaves(value))


def leaves(value: Any) -> list[str]:
    """Return the scalars within a value, as specs write them."""
    if isinstance(value, dict | list):
        return [leaf for inner in (value.values() if isinstance(value, dict) else value) for leaf in leaves(inner)]
    return [level_name(value).strip()]
