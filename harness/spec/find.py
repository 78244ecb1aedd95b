"""Where specs are found: by name among the experiments at hand, or by path."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path

from harness.errors import UserError, listed, nearest
from harness.spec.load import Experiment, load_experiment
from harness.spec.yaml_source import read_yaml


@lru_cache(maxsize=1)
def experiment_folder() -> Path | None:
    """Return the folder of installed experiments: ``experiments`` here, or the package of that name."""
    here = Path.cwd() / "experiments"
    if here.is_dir():
        return here
    found = importlib.util.find_spec("experiments")
    locations = list(found.submodule_search_locations or []) if found else []
    return Path(locations[0]) if locations else None


def spec_paths() -> list[Path]:
    """Return the YAML files in the experiment folder that hold an experiment, by path."""
    folder = experiment_folder()
    if folder is None:
        return []
    return [path for path in sorted(folder.glob("*/*.yaml")) if _declares_experiment(path)]


def _declares_experiment(path: Path) -> bool:
    """Say whether a file sets ``experiment`` at its top level, without parsing it: claims and tables lie beside."""
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            return any(line.startswith("experiment:") for line in lines)
    except OSError:
        return False


def find_experiment(name: str) -> Experiment:
    """Return the experiment of that name, or the one in the YAML file at that path.

    Raises:
        UserError: there is none, or it cannot be used.
    """
    if name.endswith((".yaml", ".yml")) or "/" in name:
        return load_experiment(Path(name))
    paths = {_name_in(path): path for path in spec_paths()}
    if name not in paths:
        known = sorted(paths)
        raise UserError(
            f"no experiment '{name}'{nearest(name, known)} (known: {listed(known)}; or give the path of a YAML file)"
        )
    return load_experiment(paths[name])


def _name_in(path: Path) -> str:
    data = read_yaml(path).data
    return str(data.get("experiment", "")) if isinstance(data, dict) else ""


def all_experiments() -> list[Experiment]:
    """Return every experiment in the experiment folder; names are unique.

    Raises:
        UserError: one of them cannot be used, or two have the same name.
    """
    experiments: dict[str, Experiment] = {}
    for path in spec_paths():
        experiment = load_experiment(path)
        if experiment.name in experiments:
            first = experiments[experiment.name].source.path
            raise experiment.source.error(("experiment",), f"the name '{experiment.name}' is also used by {first}")
        experiments[experiment.name] = experiment
    return list(experiments.values())
