"""What a configuration accepts, resolves and refuses; and that reading it needs no torch."""

import subprocess
import sys
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from experiments.vilt.configuration import Model, SystemConfiguration
from experiments.vilt.rows import ROWS


def test_reading_it_imports_no_torch() -> None:
    code = "import experiments.vilt.configuration, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_eleven_rows_are_the_models() -> None:
    assert set(get_args(Model)) == set(ROWS) and len(ROWS) == 11
    for row in ROWS.values():
        assert row.text_tokens_published is not None or row.text_tokens == 40
        SystemConfiguration(model=row.slug)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "vilt-b32", "proposals": 36}, "no regions, so proposals"),
        ({"model": "pixel-bert-r50", "regions": 36}, "no regions, so regions"),
        ({"model": "vilt-b32", "nms": "class-agnostic"}, "no regions, so nms"),
        ({"model": "pixel-bert-r50", "scene": "disjoint"}, "no regions, so scene"),
        ({"model": "uniter-base", "implementation": "floor"}, "exists for ViLT only"),
        ({"model": "vilt-b32", "implementation": "floor", "weights": "x"}, "no weights to load"),
        ({"model": "vilt-b32", "image_size": "384*640"}, "not of the form HEIGHTxWIDTH"),
        ({"model": "vilt-b32", "image_size": "0x640"}, "not of the form HEIGHTxWIDTH"),
        ({"model": "vilt-b32", "image_size": "400x640"}, "multiples of 32"),
        ({"model": "pixel-bert-r50", "image_size": "32x640"}, "at least 64 pixels"),
        ({"model": "uniter-base", "regions": 40, "proposals": 30}, "40 regions cannot be kept of 30 proposals"),
        ({"model": "vilt-b32", "text_tokens": 41}, "more than the 40"),
        ({"model": "uniter-base", "backbone": "resnet152"}, "not one of those declared"),
        ({"model": "vilt-b32", "backbone": "resnet50"}, "it has no backbone"),
        ({"model": "uniter-base", "batch": 0}, "greater than or equal to 1"),
        ({"model": "unitter"}, "Input should be"),
        ({"model": "uniter-base", "rois": 36}, "Extra inputs"),
    ],
)
def test_nonsense_is_refused_in_a_sentence(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SystemConfiguration(**settings)


def test_none_means_the_papers_own() -> None:
    uniter = SystemConfiguration(model="uniter-base")
    assert (uniter.size, uniter.proposal_count, uniter.region_count) == ((800, 1333), 1000, 36)
    assert (uniter.suppression, uniter.text_length, uniter.visual_tokens) == ("per-class-loop", 60, 36)
    assert SystemConfiguration(model="vinvl-base").suppression == "class-agnostic"
    few = SystemConfiguration(model="unicoder-vl", proposals=36)
    assert few.region_count == 36  # as many as there are
    vilt = SystemConfiguration(model="vilt-b32")
    assert (vilt.size, vilt.visual_tokens, vilt.region_count) == ((384, 640), 241, 0)


def test_grid_tokens_are_the_printed_ones_at_the_papers_size_only() -> None:
    assert SystemConfiguration(model="pixel-bert-r50").visual_tokens == 260
    assert SystemConfiguration(model="pixel-bert-x152", image_size="600x1000").visual_tokens == 146
    assert SystemConfiguration(model="pixel-bert-r50", image_size="384x640").visual_tokens == 6 * 10
    assert SystemConfiguration(model="pixel-bert-r50", image_size="600x1000").visual_tokens == 9 * 16


def test_labels_tell_what_differs() -> None:
    assert SystemConfiguration(model="uniter-base").label == "UNITER-Base"
    changed = SystemConfiguration(
        model="uniter-base", image_size="600x1000", proposals=300, implementation="optimised", compile=True
    )
    assert changed.label == "UNITER-Base (600x1000, proposals 300, optimised, compiled)"
    assert SystemConfiguration.model_validate_json(changed.model_dump_json()) == changed
