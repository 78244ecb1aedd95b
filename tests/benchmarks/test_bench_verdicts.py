"""How long it takes from records to verdicts. Nothing is asserted of a time; ``make bench`` shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from simulation import Large

from harness.verdicts.judge import judge

SHAPES = {
    "replicates": {1000: (20, 10), 10_000: (20, 100), 100_000: (20, 1000)},
    "settings": {1000: (20, 10), 10_000: (200, 10), 100_000: (2000, 10)},
}


@pytest.mark.parametrize("records", [1000, 10_000, 100_000])
@pytest.mark.parametrize("many", list(SHAPES))
def test_bench_records_to_verdicts(benchmark: Any, tmp_path: Path, many: str, records: int) -> None:
    """Eleven claims of eight forms on five arms, with everything that stands beside a verdict."""
    if benchmark.disabled and records > 1000:
        pytest.skip("large: run by make bench alone")
    sweep = Large(tmp_path, *SHAPES[many][records])
    found = benchmark.pedantic(judge, args=(sweep.state,), rounds=1 if records > 10_000 else 3)
    assert sweep.records == records and len(found) == len(sweep.design.experiment.claims)
