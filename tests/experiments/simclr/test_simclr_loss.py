"""NT-Xent against lightly, pytorch-metric-learning and Algorithm 1 written out in float64; its memory; its gathering."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightly.loss import NTXentLoss
from pytorch_metric_learning.losses import NTXentLoss as MetricLearningLoss
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from experiments.simclr.loss import contrastive_statistics, nt_xent


def views(count: int, dimension: int = 32, seed: int = 0, spread: float = 1.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    first = torch.randn(count, dimension, generator=generator)
    return first, first + spread * torch.randn(count, dimension, generator=generator)


def algorithm_1(first: Tensor, second: Tensor, temperature: float, normalise: bool = True) -> Tensor:
    """The paper's Algorithm 1, pair by pair, in float64."""
    z = torch.stack([first, second], dim=1).reshape(-1, first.shape[1]).double()
    if normalise:
        z = z / z.norm(dim=1, keepdim=True)
    s = z @ z.T / temperature
    count = len(z)

    def one(i: int, j: int) -> Tensor:
        others = torch.tensor([k for k in range(count) if k != i])
        return -(s[i, j] - torch.logsumexp(s[i, others], dim=0))

    pairs = range(count // 2)
    return sum((one(2 * k, 2 * k + 1) + one(2 * k + 1, 2 * k) for k in pairs), torch.zeros(())) / count


def value_and_gradients(loss: object, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    one, two = first.detach().requires_grad_(), second.detach().requires_grad_()
    value = loss(one, two)  # type: ignore[operator]
    return value.detach(), *torch.autograd.grad(value, [one, two])


@pytest.mark.parametrize("temperature", [0.02, 0.05, 0.1, 0.5, 1.0])
# Of 600 vectors a CPU takes blocks of 256: all kept, or in thirds, with 10 rows at a time, computed twice.
@pytest.mark.parametrize(("count", "rows"), [(2, None), (7, None), (64, None), (300, None), (300, 200), (300, 10)])
def test_value_and_gradient_are_lightlys(count: int, rows: int | None, temperature: float) -> None:
    first, second = views(count)
    ours = value_and_gradients(lambda a, b: nt_xent(a, b, temperature, rows_at_once=rows), first, second)
    theirs = value_and_gradients(NTXentLoss(temperature), first, second)
    assert ours[0].item() == pytest.approx(theirs[0].item(), abs=1e-6 * max(1.0, theirs[0].item()))
    for mine, reference in zip(ours[1:], theirs[1:], strict=True):
        assert (mine - reference).abs().max() < 1e-5


def test_value_is_metric_learnings_at_batch_64() -> None:
    first, second = views(64, 128)
    labels = torch.arange(64).repeat(2)
    theirs = MetricLearningLoss(temperature=0.1)(torch.cat([first, second]), labels)
    assert nt_xent(first, second, 0.1).item() == pytest.approx(theirs.item(), abs=1e-5)


@settings(deadline=None, max_examples=40)
@given(
    count=st.integers(1, 9),
    dimension=st.integers(1, 6),
    temperature=st.sampled_from([0.01, 0.031, 0.032, 0.05, 0.1, 1.0, 10.0]),
    normalise=st.booleans(),
    rows=st.sampled_from([None, 1, 2, 5, 100]),
    seed=st.integers(0, 10**6),
)
def test_value_and_gradient_are_algorithm_1s(
    count: int, dimension: int, temperature: float, normalise: bool, rows: int | None, seed: int
) -> None:
    first, second = (x.double() for x in views(count, dimension, seed))
    reference = value_and_gradients(lambda a, b: algorithm_1(a, b, temperature, normalise), first, second)
    ours = value_and_gradients(
        lambda a, b: 3 * nt_xent(a, b, temperature, normalise=normalise, rows_at_once=rows), first, second
    )
    assert ours[0].item() == pytest.approx(3 * reference[0].item(), rel=1e-9, abs=1e-9)
    for mine, theirs in zip(ours[1:], reference[1:], strict=True):
        torch.testing.assert_close(mine, 3 * theirs, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_equal_and_opposed_vectors_are_safe_at_low_temperatures(dtype: torch.dtype) -> None:
    same = torch.ones(4, 8, dtype=dtype)
    for first, second in ((same, same), (same, -same)):
        value, *gradients = value_and_gradients(lambda a, b: nt_xent(a, b, 0.01), first, second)
        assert math.isfinite(value.item()) and all(torch.isfinite(g).all() for g in gradients)
    assert nt_xent(same, same, 0.01).item() == pytest.approx(math.log(7), abs=1e-4)
    # Opposed pairs: the partner is at -1, six others: three at 1, three at -1.
    assert nt_xent(same, -same, 0.05).item() == pytest.approx(40 + math.log(3), abs=1e-3)


@pytest.mark.parametrize("temperature", [0.01, 0.03, 0.05, 0.2])
def test_a_solved_task_has_its_small_loss_to_the_last_digits(temperature: float) -> None:
    # Four orthogonal pairs of equals: the partner at 1, six others at 0.
    pairs = torch.eye(4, 8)
    expected = math.log1p(6 * math.exp(-1 / temperature))
    assert nt_xent(pairs, pairs.clone(), temperature).item() == pytest.approx(expected, abs=2e-7)


@pytest.mark.parametrize("temperature", [0.031, 0.03125, 0.05, 0.2])
def test_both_ways_of_computing_agree(temperature: float) -> None:
    first, second = (torch.nn.functional.normalize(x, dim=1).double() for x in views(150, 8))
    symmetric = nt_xent(first, second, temperature)
    rowwise = nt_xent(first, second, temperature, normalise=False)
    assert symmetric.item() == pytest.approx(rowwise.item(), abs=1e-6)
    # At the temperature where exp loses its shift, the largest and smallest there can be are still finite in float32.
    worst = torch.cat([torch.ones(400, 8), -torch.ones(400, 8)])
    value, *gradients = value_and_gradients(lambda a, b: nt_xent(a, b, temperature), worst, -worst)
    assert value.item() == pytest.approx(2 / temperature + math.log(799), abs=1e-4)
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("normalise", [True, False])
def test_autocast_changes_nothing(normalise: bool) -> None:
    first, second = views(20, 8, spread=0.3)

    def plain(a: Tensor, b: Tensor) -> Tensor:
        return nt_xent(a, b, 0.1, normalise=normalise)

    def cast(a: Tensor, b: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return nt_xent(a, b, 0.1, normalise=normalise)

    for ours, theirs in zip(
        value_and_gradients(cast, first, second), value_and_gradients(plain, first, second), strict=True
    ):
        assert ours.dtype == torch.float32 and torch.equal(ours, theirs)
    outside = contrastive_statistics(first, second, 0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert contrastive_statistics(first, second, 0.1) == outside


@pytest.mark.parametrize("temperature", [0.01, 0.1])
def test_the_value_alone_is_the_same(temperature: float) -> None:
    first, second = (x.requires_grad_() for x in views(30))
    with_gradient = nt_xent(first, second, temperature)
    with torch.no_grad():
        alone = nt_xent(first, second, temperature)
    assert torch.equal(alone, with_gradient.detach()) and not alone.requires_grad


def test_only_one_view_may_need_a_gradient() -> None:
    first, second = views(9)
    wanted = first.clone().requires_grad_()
    (alone,) = torch.autograd.grad(nt_xent(wanted, second, 0.1), [wanted])
    assert torch.equal(alone, value_and_gradients(lambda a, b: nt_xent(a, b, 0.1), first, second)[1])


def test_bad_views_temperatures_and_rows_are_refused() -> None:
    first, second = views(4)
    for loss in (nt_xent, contrastive_statistics):
        with pytest.raises(ValueError, match="same shape"):
            loss(first, second[:3], 0.1)
        with pytest.raises(ValueError, match="N at least 1"):
            loss(first[:0], second[:0], 0.1)
        for temperature in (0.0, -1.0, math.nan):
            with pytest.raises(ValueError, match="positive"):
                loss(first, second, temperature)
    for rows in (0, -1):
        with pytest.raises(ValueError, match="at least one row"):
            nt_xent(first, second, 0.1, rows_at_once=rows)


def test_statistics_are_those_of_the_softmax() -> None:
    first, second = views(20, 4, spread=0.5)
    found = contrastive_statistics(first, second, 0.3)
    z = torch.nn.functional.normalize(torch.cat([first, second]).double(), dim=1)
    logits = (z @ z.T / 0.3).fill_diagonal_(-math.inf)
    partner = (torch.arange(40) + 20) % 40
    assert found.accuracy == pytest.approx(100 * (logits.argmax(1) == partner).double().mean().item())
    p = logits.softmax(1)
    assert found.entropy == pytest.approx(torch.special.entr(p).sum(1).mean().item(), abs=1e-5)
    same = torch.ones(8, 3)
    assert contrastive_statistics(same, same, 0.1).entropy == pytest.approx(math.log(15), abs=1e-5)


def test_what_is_held_at_a_time_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = views(25, 6)
    whole = nt_xent(first, second, 0.1), nt_xent(first, second, 0.01), contrastive_statistics(first, second, 0.1)
    monkeypatch.setattr("experiments.simclr.loss.ELEMENTS_AT_ONCE", 7 * 50)
    assert nt_xent(first, second, 0.1).item() == pytest.approx(whole[0].item(), abs=1e-6)
    assert nt_xent(first, second, 0.01).item() == pytest.approx(whole[1].item(), rel=1e-6)
    found = contrastive_statistics(first, second, 0.1)
    assert found.accuracy == whole[2].accuracy and found.entropy == pytest.approx(whole[2].entropy, abs=1e-5)


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of storages made and still alive, operation by operation; keeps the most there ever were."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[int, int] = {}
        self.peak = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        import weakref

        found = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(found):
            if isinstance(leaf, Tensor):
                storage = leaf.untyped_storage()
                key = storage.data_ptr()
                if key not in self.sizes:
                    self.sizes[key] = storage.nbytes()
                    weakref.finalize(storage, self.sizes.pop, key, None)
        self.peak = max(self.peak, sum(self.sizes.values()))
        return found


def peak_of(loss: object, first: Tensor, second: Tensor) -> int:
    one, two = first.detach().requires_grad_(), second.detach().requires_grad_()
    with LiveBytes() as live:
        loss(one, two).backward()  # type: ignore[operator]
    return live.peak


def test_peak_memory_at_batch_4096_is_at_most_half_of_lightlys() -> None:
    first, second = views(4096, 8)
    ours = peak_of(lambda a, b: nt_xent(a, b, 0.1), first, second)
    # lightly holds whole similarities, 2N x 2N, of which one alone has 268 MB.
    theirs = peak_of(NTXentLoss(0.1), first, second)
    assert theirs >= 4 * 8192 * 8191
    assert ours <= theirs / 2
    assert ours < 100e6


def _one_process(rank: int, folder: str, count: int) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    first, second = views(2 * count, 6)
    torch.manual_seed(5)
    layer = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(6, 4))
    own = slice(rank * count, (rank + 1) * count)
    both = layer(torch.cat([first[own], second[own]]))
    loss = nt_xent(both[:count], both[count:], 0.2, gather=True)
    loss.backward()
    torch.save((loss.detach(), layer.module.weight.grad), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_that_gather_have_the_gradient_of_the_whole_batch() -> None:
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(_one_process, (folder, 5), nprocs=2)
        results = [torch.load(Path(folder) / f"{rank}.pt") for rank in range(2)]
    first, second = views(10, 6)
    torch.manual_seed(5)
    layer = torch.nn.Linear(6, 4)
    loss = nt_xent(layer(first), layer(second), 0.2)
    loss.backward()
    assert torch.stack([value for value, _ in results]).mean().item() == pytest.approx(loss.item(), abs=1e-6)
    for _, gradient in results:
        torch.testing.assert_close(gradient, layer.weight.grad, rtol=1e-5, atol=1e-7)
