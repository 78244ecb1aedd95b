"""What is said of a profile: figures recomputed from any tables, and sentences that are true of them."""

from __future__ import annotations

import math
import re
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.kernel_kinds import KINDS, MULTIPLYING, kind_of_kernel, kind_of_operator
from harness.measure.profile_bounds import FEWEST_BUSY, FEWEST_RATE
from harness.measure.profile_sentences import percent
from harness.measure.profile_summary import MOST_OPERATORS, OUTSIDE, ProfileSummary, largest_difference, summarise

STAGES = ("backbone", "roi_head", "fusion")


def frame(columns: str, rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=columns.split())


def tables(
    steps: list[float],
    profiled: list[tuple[int, str, float]],
    timed: list[tuple[int, str, float]],
    operators: list[tuple[str, str, str, float, float]],
    device: str = "cpu",
) -> dict[str, pd.DataFrame]:
    """Tables of the arm "x" and a shadow "y" that must never be looked at; operators are (name, kind, stage, calls, us)."""
    found = {
        "profile_steps": frame("arm step us", [("x", n, us) for n, us in enumerate(steps)]),
        "profile_stages": frame("arm step stage us", [("x", *row) for row in profiled]),
        "timed_stages": frame("arm iteration stage us", [("x", *row) for row in timed]),
        "profile_operators": frame(
            "arm operator shapes stage kind device calls us memory_bytes",
            [("x", name, "[]", stage, kind, device, calls, us, 0.0) for name, kind, stage, calls, us in operators]
            + [("x", "aten::elsewhere", "[]", "", "copy", "cuda" if device == "cpu" else "cpu", 1.0, 1e9, 0.0)],
        ),
        "profile_kernels": frame(
            "arm kernel kind calls us", [("x", name, kind, calls, us) for name, kind, _, calls, us in operators]
        ),
    }
    return {name: pd.concat([table, table.assign(arm="y")]) for name, table in found.items()}


def record(**changes: Any) -> dict[str, Any]:
    values = {
        "system": "x", "step_us": 1000.0, "timed_us": 800.0, "steps": 3, "device": "cpu", "dtype": "float32",
        "gflop": 0.06, "ceiling_gflops": 100.0, "busy_us": 970.0, "threads": 1,
    }  # fmt: skip
    return values | changes


def one(record: dict[str, Any], found: dict[str, pd.DataFrame]) -> ProfileSummary:
    (summary,) = summarise([record], "system", found)
    return summary


USUAL = tables(
    [900.0, 1000.0, 1100.0],
    [(step, stage, us) for step in range(3) for stage, us in (("roi_head", 700.0), ("fusion", 200.0))],
    [(i, stage, us) for i in range(2) for stage, us in (("", 800.0), ("roi_head", 600.0), ("fusion", 120.0))],
    [
        ("aten::addmm", "matrix product", "fusion", 12.0, 800.0),
        ("aten::addmm", "matrix product", "roi_head", 2.0, 60.0),
        ("aten::gelu", "everything else", "fusion", 12.0, 100.0),
        ("aten::cat", "copy", "fusion", 1.0, 10.0),
    ],
)


def test_the_figures_of_a_usual_profile() -> None:
    found = one(record(), USUAL)
    assert (found.arm, found.device, found.steps, found.overhead) == ("x", "cpu", 3, 1.25)
    assert [(s.name, s.microseconds, s.share) for s in found.timed_stages] == [
        ("roi_head", 600.0, 0.75), ("fusion", 120.0, 0.15),
    ]  # fmt: skip
    assert [(s.name, s.share) for s in found.stages] == [("roi_head", 0.7), ("fusion", 0.2)]
    assert [(k.name, k.share) for k in found.kinds] == [
        ("matrix product", 0.86), ("convolution", 0.0), ("attention", 0.0), ("normalisation", 0.0), ("copy", 0.01),
        ("everything else", 0.1), (OUTSIDE, pytest.approx(0.03)),
    ]  # fmt: skip
    assert [(o.name, o.microseconds, o.calls) for o in found.operators] == [
        ("aten::addmm", 860.0, 14.0), ("aten::gelu", 100.0, 12.0), ("aten::cat", 10.0, 1.0),
    ]  # fmt: skip
    assert found.busy_share == 0.97 and found.bound == "compute-bound"
    # 0.06 GFLOP in 800 microseconds are 75 GFLOP/s.
    assert found.ceiling_share == pytest.approx(0.75)
    assert largest_difference(found) == (pytest.approx(5.0), "roi_head")
    assert found.sentences == (
        "Of a step, 70 % is roi_head and 20 % is fusion.",
        "Matrix products take 86 % of a step. The step's 0.06 GFLOP run at 75 % of the rate of this machine's own matrix "
        "product: by that measure faster software for the same operations could save at most 25 %.",
        "Operators run in 97 % of a step, and the rest is Python and launching: compute-bound, as 89 % of the work is "
        "products, convolutions and attention.",
    )


@pytest.mark.parametrize(
    ("changes", "bound", "words"),
    [
        ({"busy_us": 400.0}, "launch-bound", "less than 50 % of the time is spent in operators"),
        ({"busy_us": 400.0, "device": "cuda"}, "launch-bound", "The GPU works in 40 % of a step"),
        ({"gflop": 0.006}, "memory-bound", "run at 9 % of the machine's own product, less than 25 %"),
        ({"gflop": None}, "compute-bound", "89 % of the work is products"),
        ({"ceiling_gflops": None}, "compute-bound", "89 % of the work is products"),
        ({"gflop": 0.09}, "compute-bound", "which is no ceiling here: what could be saved is not known"),
        ({"gflop": 1e-6}, "memory-bound", "could save nearly all of it"),
    ],
)
def test_what_bounds_it_goes_by_the_declared_limits(changes: dict[str, Any], bound: str, words: str) -> None:
    device = changes.get("device", "cpu")
    found = dict(USUAL) | {"profile_operators": USUAL["profile_operators"].replace({"device": {"cpu": device}})}
    summary = one(record(**changes), found)
    assert summary.bound == bound
    assert words in " ".join(summary.sentences)


def test_work_that_multiplies_nothing_is_bound_by_memory() -> None:
    moving = [("aten::copy_", "copy", "", 3.0, 600.0), ("aten::mm", "matrix product", "", 1.0, 350.0)]
    found = one(record(), tables([1000.0], [], [], moving))
    assert found.bound == "memory-bound" and largest_difference(found) is None
    assert found.sentences[0] == "Of a step, 60 % is aten::copy_."
    assert found.sentences[-1].endswith(
        "memory-bound, as 63 % of the work is neither product, convolution nor attention."
    )


def test_one_disturbed_step_does_not_make_another_stage_larger() -> None:
    timed = [(0, "", 100.0), (0, "a", 60.0), (0, "b", 40.0), (1, "", 900.0), (1, "a", 540.0), (1, "b", 360.0)]
    found = one(record(), tables([1000.0], [], [*timed, (2, "", 100.0), (2, "a", 60.0), (2, "b", 40.0)], []))
    assert [stage.share for stage in found.timed_stages] == pytest.approx([0.6, 0.4])


def test_without_wholes_stages_are_shares_of_their_sum() -> None:
    found = one(record(), tables([1000.0], [], [(0, "a", 30.0), (0, "b", 10.0)], []))
    assert [stage.share for stage in found.timed_stages] == [0.75, 0.25]


def test_a_spec_without_a_blocked_factor_has_one_nameless_arm() -> None:
    found = {name: table[table["arm"] == "x"].assign(arm="") for name, table in USUAL.items()}
    (summary,) = summarise([record()], "", found)
    assert summary.arm == "" and summary.stages[0].name == "roi_head"


# Any input

TIME = st.just(0.0) | st.floats(1e-3, 1e7)
OPERATORS = st.lists(
    st.tuples(
        st.sampled_from(["aten::mm", "aten::add", "aten::copy_", "aten::conv2d", *(f"op{n}" for n in range(14))]),
        st.sampled_from(KINDS),
        st.sampled_from(["", *STAGES]),
        st.floats(0, 1e4),
        TIME,
    ),
    max_size=30,
)
STAGE_ROWS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(STAGES), TIME), max_size=12, unique_by=lambda r: r[:2]
)


@given(
    steps=st.lists(TIME, min_size=4, max_size=4),
    profiled=STAGE_ROWS,
    timed=STAGE_ROWS,
    operators=OPERATORS,
    figures=st.fixed_dictionaries(
        {
            "step_us": TIME, "timed_us": TIME, "busy_us": TIME, "device": st.sampled_from(["cpu", "cuda"]),
            "gflop": st.none() | st.floats(0, 1e6), "ceiling_gflops": st.none() | st.floats(0, 1e6),
        }
    ),
)  # fmt: skip
def test_sentences_are_true_of_any_tables(
    steps: list[float], profiled: Any, timed: Any, operators: Any, figures: dict[str, Any]
) -> None:
    found = one(record(**figures), tables(steps, profiled, timed, operators, figures["device"]))
    assert [kind.name for kind in found.kinds] == [*KINDS, OUTSIDE]
    mean = sum(steps) / len(steps)
    for kind in found.kinds[:-1]:
        us = sum(row[4] for row in operators if row[1] == kind.name)
        assert kind.share == pytest.approx(us / mean if mean else 0.0)
        assert kind.calls == pytest.approx(sum(row[3] for row in operators if row[1] == kind.name))
    assert found.kinds[-1].share == pytest.approx(max(0.0, 1.0 - sum(kind.share for kind in found.kinds[:-1])))
    assert len(found.operators) <= MOST_OPERATORS
    assert [one.share for one in found.operators] == sorted((one.share for one in found.operators), reverse=True)
    shares = [*found.stages, *found.timed_stages, *found.kinds, *found.operators]
    assert all(math.isfinite(part.share) and part.share >= 0 for part in shares)

    multiplied = sum(kind.share for kind in found.kinds if kind.name in MULTIPLYING)
    explained = sum(kind.share for kind in found.kinds[:-1])
    rate = None if found.ceiling_share is None or not multiplied else found.ceiling_share / multiplied
    if found.busy_share < FEWEST_BUSY:
        expected = "launch-bound"
    elif explained and multiplied / explained > 0.5 and (rate is None or rate >= FEWEST_RATE):
        expected = "compute-bound"
    else:
        expected = "memory-bound"
    assert found.bound == expected

    assert 1 <= len(found.sentences) <= 3
    text = " ".join(found.sentences)
    assert not re.search(r"nan|inf|None| - ", text) and text.endswith(".")
    assert text.count("-bound") == 1 and found.bound in text
    for share, name in re.findall(r"((?:less than |more than )?\d+ %) is (\w+(?:::\w+)?)", found.sentences[0]):
        parts = {part.name: part.share for part in (found.stages or found.operators)}
        assert share == percent(parts[name])
    if found.ceiling_share is not None:
        assert f"run at {percent(found.ceiling_share)} of the rate of this machine's own matrix product" in text
        saving = re.search(r"save at most (.*?)\.", text)
        assert saving is None or saving.group(1) == percent(1 - found.ceiling_share)
    assert f"in {percent(found.busy_share)} of a step" in text


@given(st.floats(0, 2))
def test_a_share_is_never_rounded_to_none_or_all(share: float) -> None:
    text = percent(share)
    assert (text == "0 %") == (share == 0) and (text == "100 %") == (share == 1 or 1 < share < 1.005)
    number = re.search(r"\d+", text)
    assert number is not None and abs(int(number.group()) - 100 * share) <= 1


@pytest.mark.parametrize(
    ("kind", "operators"),
    [
        ("matrix product", "aten::mm aten::addmm aten::bmm aten::linear aten::matmul AddmmBackward0 aten::_scaled_mm "
                           "mkldnn::_linear_pointwise aten::_addmm_activation aten::einsum"),
        ("convolution", "aten::conv2d aten::_convolution aten::mkldnn_convolution aten::convolution_backward "
                        "ConvolutionBackward0 aten::_slow_conv2d_forward aten::cudnn_convolution"),
        ("attention", "aten::scaled_dot_product_attention aten::_scaled_dot_product_flash_attention_for_cpu "
                      "aten::_efficient_attention_forward ScaledDotProductFlashAttentionBackward0"),
        ("normalisation", "aten::layer_norm aten::native_batch_norm NativeLayerNormBackward0 aten::rms_norm "
                          "autograd::engine::evaluate_function:_NativeLayerNormBackward0"),
        ("copy", "aten::copy_ aten::_to_copy aten::clone aten::cat aten::contiguous aten::constant_pad_nd CatBackward0"),
        ("everything else", "aten::norm aten::resolve_conj aten::gelu aten::_softmax torchvision::nms aten::view "
                            "aten::_fused_adamw_ torch::autograd::AccumulateGrad aten::_convert_weight_to_int4pack"),
    ],
)  # fmt: skip
def test_operators_are_of_the_kind_of_their_name(kind: str, operators: str) -> None:
    assert {name: kind_of_operator(name.replace(":_N", ": N")) for name in operators.split()} == dict.fromkeys(
        operators.split(), kind
    )


@pytest.mark.parametrize(
    ("kind", "name", "operator"),
    [
        ("matrix product", "ampere_sgemm_128x64_tn", ""),
        ("matrix product", "nvjet_tst_128x256_64x4_2x1_v_bz_coopA_TNT", "aten::addmm"),
        ("matrix product", "void cublasLt::splitKreduce_kernel<32, 16, int, float>", ""),
        ("convolution", "sm80_xmma_fprop_implicit_gemm_f32f32_f32f32_f32_nhwckrsc_nhwc_tilesize128x64x8", ""),
        ("attention", "void pytorch_flash::flash_fwd_kernel<Flash_fwd_kernel_traits<64, 128>>", ""),
        ("attention", "fmha_cutlassF_f32_aligned_64x64_rf_sm80", ""),
        ("normalisation", "void at::native::(anonymous namespace)::vectorized_layer_norm_kernel<float, float>", ""),
        ("normalisation", "cudnn::bn_fw_inf_1C11_kernel_NCHW<float, float, true, 1>", ""),
        ("copy", "Memcpy HtoD (Pageable -> Device)", ""),
        ("copy", "Memset (Device)", "aten::zero_"),
        ("copy", "void at::native::(anonymous namespace)::CatArrayBatchedCopy<float>", ""),
        ("copy", "void cudnn::ops::nchwToNhwcKernel<float, float, float, false, true>", "aten::cudnn_convolution"),
        ("copy", "void at::native::elementwise_kernel<128, 2, direct_copy_kernel_cuda>", "aten::copy_"),
        ("everything else", "void at::native::vectorized_elementwise_kernel<4, GeluCUDAKernelImpl>", "aten::gelu"),
        ("everything else", "triton_poi_fused_add_gelu_0", ""),
        ("convolution", "void some_vendor_kernel<float>", "aten::cudnn_convolution"),
    ],
)
def test_kernels_are_of_the_kind_of_their_name_or_of_their_operator(kind: str, name: str, operator: str) -> None:
    assert kind_of_kernel(name, operator) == kind
