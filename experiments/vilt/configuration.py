"""Which system is built: one of the eleven rows, at which size, with how many regions, and by which
implementation.

Read by the command line, so nothing here imports torch.
"""

import re
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from experiments.vilt.rows import ROWS, Row

__all__ = ["DataType", "Implementation", "MemoryFormat", "Model", "Quantisation", "Suppression", "SystemConfiguration"]

Model = Literal[
    "vilbert",
    "visualbert",
    "lxmert",
    "uniter-base",
    "oscar-base",
    "vinvl-base",
    "unicoder-vl",
    "imagebert",
    "pixel-bert-x152",
    "pixel-bert-r50",
    "vilt-b32",
]
Suppression = Literal["per-class-loop", "per-class-vectorised", "class-agnostic"]
Implementation = Literal["naive", "optimised", "floor"]
DataType = Literal["float32", "bfloat16", "float16"]
MemoryFormat = Literal["contiguous", "channels-last"]
Quantisation = Literal["none", "dynamic-int8", "static-int8"]
LinearLibrary = Literal["blas", "onednn"]
Scene = Literal["realistic", "disjoint", "identical"]

VILT_PATCH = 32
VILT_TEXT_POSITIONS = 40  # max_position_embeddings of every released ViLT checkpoint
BERT_TEXT_POSITIONS = 512
NAMED = ("proposals", "regions", "text_tokens", "batch", "linear_library")  # a bare value says nothing in a label
SWITCHES = {"onednn": "without oneDNN", "compile": "compiled", "graphs": "CUDA graphs", "tf32": "TF32"}
PLAIN = {
    "implementation": "naive",
    "dtype": "float32",
    "compile": False,
    "onednn": True,
    "memory_format": None,
    "linear_library": "blas",
    "quantise": "none",
    "graphs": False,
    "tf32": False,
}
"""How a system computes where nothing is done to make it fast."""


class SystemConfiguration(BaseModel):
    """A system to build. None means: as in the row's own entry of Table 6.

    ``image_size`` "HxW" in pixels; ``proposals`` boxes through the RoI head and ``regions`` of them kept;
    ``nms`` the suppression of classes; ``implementation``: naive (what people run: transformers' and
    torchvision's modules as they come), optimised (the same outputs, faster), floor (ViLT's matrix products
    and attention and nothing else); ``scene`` the geometry of the synthetic detections; ``text_tokens``
    including the two special ones; ``batch`` pairs a request; ``backbone`` one of the row's alternatives;
    ``weights`` a transformers checkpoint by hub name or folder (ViLT) or the path of a state dict (detector or
    grid backbone).

    Levers, which change how a system computes and not what: ``dtype`` of weights and activations; ``compile``
    the dense parts with ``torch.compile``; ``onednn`` on a CPU; ``memory_format`` (None: contiguous where naive,
    channels-last where optimised and convolutional); ``linear_library``: what multiplies in float32 linear layers on a
    CPU, the BLAS that torch was built with or oneDNN (a GPU has its own, as with ``onednn``); ``quantise``:
    ``dynamic-int8`` rounds the weights of linear layers, and what they read in every call, to 8 bits, ``static-int8``
    convolutions too, with scales fixed beforehand on the request itself; ``graphs``: everything of fixed shape is
    replayed from CUDA graphs; ``tf32``: float32 products and convolutions of a GPU in TF32, which is off otherwise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Model
    image_size: str | None = None
    proposals: int | None = Field(default=None, ge=1)
    regions: int | None = Field(default=None, ge=1)
    nms: Suppression | None = None
    implementation: Implementation = "naive"
    scene: Scene = "realistic"
    text_tokens: int | None = Field(default=None, ge=2)
    batch: int = Field(default=1, ge=1)
    dtype: DataType = "float32"
    compile: bool = False
    backbone: str | None = None
    weights: str | None = None
    onednn: bool = True
    memory_format: MemoryFormat | None = None
    linear_library: LinearLibrary = "blas"
    quantise: Quantisation = "none"
    graphs: bool = False
    tf32: bool = False

    @field_validator("image_size")
    @classmethod
    def _well_formed(cls, value: str | None) -> str | None:
        if value is not None:
            found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", value)
            if found is None:
                raise ValueError(f"image_size {value!r} is not of the form HEIGHTxWIDTH, for example 384x640.")
            if min(int(side) for side in found.groups()) < 64:
                raise ValueError(f"image_size {value} is too small: both sides need at least 64 pixels.")
        return value

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        row = self.row
        if row.embedding != "region":
            for name in ("proposals", "regions", "nms"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{row.label} has no regions, so {name} cannot be set for it.")
            if self.scene != "realistic":
                raise ValueError(f"{row.label} has no regions, so scene cannot be set for it.")
        elif self.regions is not None and self.regions > self.proposal_count:
            raise ValueError(f"{self.regions} regions cannot be kept of {self.proposal_count} proposals.")
        if self.implementation == "floor":
            if row.embedding != "linear":
                raise ValueError(f"implementation 'floor' exists for ViLT only, not for {row.label}.")
            if self.weights is not None:
                raise ValueError("implementation 'floor' has no weights to load: it times shapes only.")
        if row.embedding == "linear" and any(side % VILT_PATCH for side in self.size):
            raise ValueError(
                f"image_size {self.size[0]}x{self.size[1]} does not divide into ViLT's patches: both sides must be "
                f"multiples of {VILT_PATCH}."
            )
        longest = VILT_TEXT_POSITIONS if row.embedding == "linear" else BERT_TEXT_POSITIONS
        if self.text_length > longest:
            raise ValueError(f"{self.text_length} text_tokens are more than the {longest} that {row.label} can read.")
        if self.backbone is not None and self.backbone not in (row.backbone, *row.alternatives):
            allowed = ", ".join((row.backbone or "", *row.alternatives)) if row.backbone else "none, it has no backbone"
            raise ValueError(f"backbone {self.backbone!r} is not one of those declared for {row.label}: {allowed}.")
        return self

    @model_validator(mode="after")
    def _levers_go_together(self) -> Self:
        if self.quantise != "none" and self.dtype != "float32":
            raise ValueError(f"quantise {self.quantise!r} starts from float32 and cannot go with dtype {self.dtype}.")
        if self.quantise != "none" and self.implementation == "floor":
            raise ValueError("implementation 'floor' cannot be quantised: it has no outputs to compare.")
        if self.quantise == "static-int8":
            self._static_int8_makes_sense()
        if self.linear_library == "onednn":
            self._onednn_linear_makes_sense()
        if self.graphs and self.implementation != "optimised":
            raise ValueError(f"graphs need implementation 'optimised', not {self.implementation!r}.")
        if self.graphs and (self.compile or self.quantise != "none"):
            other = "compile" if self.compile else f"quantise {self.quantise!r}"
            raise ValueError(f"graphs cannot go with {other}: only what runs eagerly is captured.")
        if self.tf32:
            self._is_of_float32("tf32")
        return self

    def _is_of_float32(self, lever: str) -> None:
        if self.dtype != "float32" or self.quantise != "none":
            other = f"dtype {self.dtype}" if self.dtype != "float32" else f"quantise {self.quantise!r}"
            raise ValueError(f"{lever} is about float32 and cannot go with {other}.")

    def _onednn_linear_makes_sense(self) -> None:
        self._is_of_float32("linear_library 'onednn'")
        if self.implementation != "optimised" or self.compile or self.graphs or not self.onednn:
            raise ValueError(
                "linear_library 'onednn' needs implementation 'optimised' and onednn, and no compile and no graphs."
            )

    def _static_int8_makes_sense(self) -> None:
        if self.row.embedding == "linear":
            raise ValueError(f"{self.row.label} has no network of convolutions: its int8 is quantise 'dynamic-int8'.")
        if self.row.cut == "FPN":
            raise ValueError(f"quantise 'static-int8' is for backbones without a pyramid, not for {self.row.label}.")
        if self.implementation != "optimised" or self.compile:
            raise ValueError("quantise 'static-int8' needs implementation 'optimised' and no compile.")

    @property
    def reference(self) -> Self:
        """The naive float32 implementation of the same computation: what outputs are compared with."""
        return self.model_copy(update=PLAIN)

    @property
    def layout(self) -> MemoryFormat:
        """How what convolutions read lies in memory."""
        convolves = self.implementation == "optimised" and self.row.embedding != "linear"
        return self.memory_format or ("channels-last" if convolves else "contiguous")

    @property
    def keeps_float32(self) -> bool:
        """Whether nothing is rounded more coarsely than float32 does."""
        return self.dtype == "float32" and self.quantise == "none" and not self.tf32

    @property
    def row(self) -> Row:
        """The row of Table 6 that this system stands for."""
        return ROWS[self.model]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        if self.image_size is None:
            return self.row.image_size
        height, width = self.image_size.split("x")
        return int(height), int(width)

    @property
    def proposal_count(self) -> int:
        """R, the boxes that go through the RoI head; 0 where there are none."""
        return self.proposals or self.row.proposals or 0

    @property
    def region_count(self) -> int:
        """k, the regions that the transformer reads: the row's own, or all where there are fewer proposals."""
        if self.row.embedding != "region":
            return 0
        return self.regions or min(self.row.visual_tokens, self.proposal_count)

    @property
    def suppression(self) -> Suppression | None:
        """How class suppression is done; None where there is none."""
        return self.nms or self.row.nms

    @property
    def text_length(self) -> int:
        """Text tokens, the two special ones included."""
        return self.text_tokens or self.row.text_tokens

    @property
    def body(self) -> str | None:
        """The residual network; None for ViLT."""
        return self.backbone or self.row.backbone

    @property
    def fixed_grid_tokens(self) -> int | None:
        """Visual tokens to which a grid is filled up: the printed ones at the paper's size, else as they
        come.
        """
        at_home = self.row.embedding == "grid" and self.size == self.row.image_size
        return self.row.visual_tokens if at_home else None

    @property
    def visual_tokens(self) -> int:
        """Visual tokens that the transformer reads; ViLT's include its image class token."""
        height, width = self.size
        if self.row.embedding == "linear":
            return (height // VILT_PATCH) * (width // VILT_PATCH) + 1
        if self.row.embedding == "region":
            return self.region_count
        # Five halvings that round up, then a 2 x 2 pooling that rounds down.
        return self.fixed_grid_tokens or (-(-height // 32) // 2) * (-(-width // 32) // 2)

    @property
    def label(self) -> str:
        """A name for tables: the row's label and whatever differs from its own entry."""
        changed = []
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if name in ("model", "weights") or value == field.default:
                continue
            if name in SWITCHES:
                changed.append(SWITCHES[name])
            else:
                changed.append(f"{name.replace('_', ' ')} {value}" if name in NAMED else str(value))
        return self.row.label + (f" ({', '.join(changed)})" if changed else "")
