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


@pytest.mark.parametrize("temperature", [0.05, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("count", [2, 7, 64, 300])
def test_value_and_gradient_are_lightlys(count: int, temperature: float) -> None:
    first, second = views(count)
    ours = value_and_gradients(lambda a, b: nt_xent(a, b, temperature), first, second)
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
    temperature=st.sampled_from([0.01, 0.05, 0.1, 1.0, 10.0]),
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


def test_bad_views_and_temperatures_are_refused() -> None:
    first, second = views(4)
    with pytest.raises(ValueError, match="same shape"):
        nt_xent(first, second[:3], 0.1)
    with pytest.raises(ValueError, match="positive"):
        nt_xent(first, second, 0.0)


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
