"""What holds for all sweeps at one site: a file of the user's own, so that specs stay portable.

::

    slurm:                      # defaults under every spec's own resources.slurm
      account: vision
      partition: cpu
      setup: [module load python/3.11]
    gpu:                        # on top of them for trials that take a GPU
      partition: a100
"""

from __future__ import annotations

import os
from pathlib import Path

from harness.errors import UserError
from harness.spec.figures import Strict
from harness.spec.slurm import SlurmOptions
from harness.spec.validation import validated
from harness.spec.yaml_source import read_yaml

VARIABLE = "HARNESS_SITE"


class Site(Strict):
    """A site's file."""

    slurm: SlurmOptions = SlurmOptions()
    gpu: SlurmOptions = SlurmOptions()


def site_path() -> Path:
    """Return where the site's file is looked for: ``HARNESS_SITE``, or ``harness/site.yaml`` of the configuration."""
    given = os.environ.get(VARIABLE)
    if given:
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "harness" / "site.yaml"


def slurm_options(spec: SlurmOptions, gpus: int) -> SlurmOptions:
    """Return a spec's options over the site's defaults; lists and mappings are replaced whole.

    Raises:
        UserError: the site's file cannot be used, or ``HARNESS_SITE`` names none.
    """
    path = site_path()
    if not path.is_file():
        if os.environ.get(VARIABLE):
            raise UserError(
                f"{VARIABLE}: there is no file {path}; name a YAML file with a mapping 'slurm', or unset it"
            )
        return spec
    site = validated(Site, read_yaml(path))
    layers = [site.slurm, *([site.gpu] if gpus else []), spec]
    merged: dict[str, object] = {}
    for layer in layers:
        merged |= layer.model_dump(exclude_unset=True)
    return SlurmOptions.model_validate(merged)
