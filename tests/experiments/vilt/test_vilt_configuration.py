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
        ({"model": "vilt-b32", "quantise": "dynamic-int8", "dtype": "bfloat16"}, "cannot go with dtype bfloat16"),
        ({"model": "vilt-b32", "quantise": "dynamic-int8", "implementation": "floor"}, "cannot be quantised"),
        ({"model": "vilt-b32", "quantise": "static-int8"}, "no network of convolutions"),
        ({"model": "visualbert", "quantise": "static-int8"}, "without a pyramid, not for VisualBERT"),
        ({"model": "uniter-base", "quantise": "static-int8"}, "needs implementation 'optimised'"),
        ({"model": "vilt-b32", "graphs": True}, "graphs need implementation 'optimised', not 'naive'"),
        (
            {"model": "vilt-b32", "graphs": True, "implementation": "optimised", "compile": True},
            "cannot go with compile",
        ),
        (
            {"model": "vilt-b32", "graphs": True, "implementation": "optimised", "quantise": "dynamic-int8"},
            "cannot go with quantise 'dynamic-int8'",
        ),
        ({"model": "vilt-b32", "linear_library": "onednn"}, "needs implementation 'optimised' and onednn"),
        (
            {"model": "vilt-b32", "linear_library": "onednn", "implementation": "optimised", "onednn": False},
            "needs implementation 'optimised' and onednn",
        ),
        (
            {"model": "vilt-b32", "linear_library": "onednn", "implementation": "optimised", "dtype": "bfloat16"},
            "cannot go with dtype bfloat16",
        ),
        ({"model": "vilt-b32", "linear_library": "mkl"}, "Input should be"),
        ({"model": "vilt-b32", "tf32": True, "dtype": "float16"}, "tf32 is about float32"),
        ({"model": "vilt-b32", "tf32": True, "quantise": "dynamic-int8"}, "tf32 is about float32"),
        ({"model": "vilt-b32", "memory_format": "channels-first"}, "Input should be"),
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


def test_levers_change_how_it_computes_and_leave_what_it_is() -> None:
    plain = SystemConfiguration(model="uniter-base", image_size="600x1000", proposals=300)
    lever: dict[str, Any] = {"implementation": "optimised", "onednn": False, "memory_format": "contiguous"}
    changed = SystemConfiguration(**{**plain.model_dump(), **lever, "tf32": True, "compile": True})
    assert changed.reference == plain == plain.reference and changed != plain
    assert plain.keeps_float32 and not changed.keeps_float32
    assert SystemConfiguration(model="vilt-b32", implementation="optimised", graphs=True).keeps_float32
    library = SystemConfiguration(model="vilt-b32", implementation="optimised", linear_library="onednn")
    assert library.keeps_float32 and library.reference == SystemConfiguration(model="vilt-b32")
    for coarse in ({"dtype": "bfloat16"}, {"quantise": "dynamic-int8"}):
        assert not SystemConfiguration(model="vilt-b32", **coarse).keeps_float32  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "layout"),
    [
        ({"model": "uniter-base"}, "contiguous"),
        ({"model": "uniter-base", "implementation": "optimised"}, "channels-last"),
        ({"model": "uniter-base", "implementation": "optimised", "memory_format": "contiguous"}, "contiguous"),
        ({"model": "vilt-b32", "implementation": "optimised"}, "contiguous"),
        ({"model": "vilt-b32", "memory_format": "channels-last"}, "channels-last"),
    ],
)
def test_the_layout_follows_the_implementation_unless_it_is_set(settings: dict[str, Any], layout: str) -> None:
    assert SystemConfiguration(**settings).layout == layout


def test_defaults_of_levers_leave_a_configuration_what_it_was() -> None:
    """Trials are known by what differs from the defaults, so a new lever makes no old result a stranger."""
    plain = SystemConfiguration(model="uniter-base", proposals=300)
    assert plain.model_dump(exclude_defaults=True) == {"model": "uniter-base", "proposals": 300}


def test_labels_tell_what_differs() -> None:
    assert SystemConfiguration(model="uniter-base").label == "UNITER-Base"
    changed = SystemConfiguration(
        model="uniter-base", image_size="600x1000", proposals=300, implementation="optimised", compile=True
    )
    assert changed.label == "UNITER-Base (600x1000, proposals 300, optimised, compiled)"
    assert SystemConfiguration.model_validate_json(changed.model_dump_json()) == changed
    fast = SystemConfiguration(model="vilt-b32", implementation="optimised", graphs=True, tf32=True, onednn=False)
    assert fast.label == "ViLT-B/32 (optimised, without oneDNN, CUDA graphs, TF32)"
    assert SystemConfiguration(model="vilt-b32", quantise="dynamic-int8").label == "ViLT-B/32 (dynamic-int8)"
    library = SystemConfiguration(model="vilt-b32", implementation="optimised", linear_library="onednn")
    assert library.label == "ViLT-B/32 (optimised, linear library onednn)"
