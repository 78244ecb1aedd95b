"""The state of the source tree that a trial's code comes from, as git sees it."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path
from typing import Any


def describe_source(function_name: str) -> dict[str, Any]:
    """Return commit, tree and dirtiness of the repository around ``module:function``; None where git knows nothing."""
    spec = importlib.util.find_spec(function_name.partition(":")[0])
    folder = Path(spec.origin).parent if spec is not None and spec.origin else Path.cwd()
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {
        "commit": _git(folder, "rev-parse", "HEAD"),
        "tree": _git(folder, "rev-parse", "HEAD^{tree}"),
        "dirty": None if changes is None else bool(changes),
    }


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        found = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() if found.returncode == 0 else None
