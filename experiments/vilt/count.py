"""Parameters and operations of a system, counted without running it, under the conventions that papers use.

Operations are counted by ``harness.measure.flops`` (torch's ``FlopCounterMode``) on the meta device, stage by
stage, through the same marks that are timed. It counts 2 for each multiply and add of convolutions, matrix
products and attention;
everything else counts nothing, RoIAlign and non-maximum suppression included (the paper leaves suppression
out as well: caption of Table 6). Every attention here is either spelt out or
``scaled_dot_product_attention``, both of which the counter sees; ``torch.nn.MultiheadAttention``'s fast path,
which it does not see, is used nowhere.
"""

from dataclasses import dataclass
from typing import Literal

from experiments.vilt.configuration import SystemConfiguration
from experiments.vilt.systems import System, build_system
from harness.measure.flops import flops_by_stage

__all__ = ["CONVENTIONS", "Convention", "Count", "StageCount", "count", "count_system"]

Convention = Literal["mixed", "all-mac", "all-2mac"]
CONVENTIONS: tuple[Convention, ...] = ("all-mac", "all-2mac", "mixed")
"""One operation per multiply-and-add; two; or one in the convolutional part and two in the transformer."""

TRANSFORMER_STAGES = ("text_embedding", "patch_embedding", "fusion")
"""The other stages are the convolutional detector or backbone. The patch projection belongs to the
transformer: it is a linear map of pixels, and ViLT's paper counts it as its embedder, not as a network of
convolutions.
"""

OUTSIDE = ("text_embedding", "pooler")
"""Components outside the paper's parameter count: it leaves the text embedding out (section 4.6), and the
pooler is a head.
"""


@dataclass(frozen=True)
class StageCount:
    """Operations of one stage in one request: ``flops`` is 2 per multiply-and-add."""

    name: str
    kind: Literal["cnn", "transformer"]
    flops: int

    @property
    def macs(self) -> int:
        """Multiply-and-adds."""
        return self.flops // 2


@dataclass(frozen=True)
class Count:
    """What a system weighs: ``parameters`` by component and ``stages`` in order. Operations are those of one
    request, that is of the whole batch.
    """

    configuration: SystemConfiguration
    parameters: dict[str, int]
    stages: tuple[StageCount, ...]

    @property
    def parameters_in_paper(self) -> int:
        """Parameters that Table 6 means: all but the text embedding and the pooler."""
        return sum(number for name, number in self.parameters.items() if name not in OUTSIDE)

    @property
    def flops(self) -> int:
        """2 for each multiply-and-add, over all stages."""
        return sum(stage.flops for stage in self.stages)

    def operations(self, convention: Convention) -> int:
        """Operations over all stages under ``convention``."""
        if convention == "all-2mac":
            return self.flops
        if convention == "all-mac":
            return sum(stage.macs for stage in self.stages)
        return sum(stage.macs if stage.kind == "cnn" else stage.flops for stage in self.stages)

    def stage(self, name: str) -> StageCount:
        """The stage of that name. Raises ``KeyError``."""
        return {stage.name: stage for stage in self.stages}[name]


def count(configuration: SystemConfiguration) -> Count:
    """Count ``configuration`` on the meta device: nothing is computed, so full paper sizes take a second or
    two.

    What depends on data (which candidates survive, which regions are chosen) has by design a fixed number,
    and that number is what is counted. Weights and levers (dtype, compilation, 8 bits) change no count and are ignored;
    transformers' ViLT is counted through the lean path, whose products are the same.
    """
    plain = configuration.reference.model_copy(update={"weights": None, "implementation": configuration.implementation})
    return count_system(build_system(plain, device="meta"))


def count_system(system: System) -> Count:
    """Count one request of a built system, on whatever device it is."""
    stages = []
    for name, flops in flops_by_stage(system).by_stage.items():
        kind: Literal["cnn", "transformer"] = "transformer" if name in TRANSFORMER_STAGES else "cnn"
        stages.append(StageCount(name, kind, flops))
    return Count(system.configuration, system.parameters_by_component(), tuple(stages))
