"""Systems: a model with its inputs already on the device, ready to answer one request after another."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from baselines.detector import Detection, DetectorPlan, RegionDetector
from baselines.errors import StructureError
from baselines.fusion import Fusion, LxmertFusion, SingleStream, VisualBertFusion
from baselines.graphs import Capture, Graphs, capture_on_cuda
from baselines.grid import GridModel
from baselines.marks import Mark, no_mark
from baselines.onednn_linear import use_onednn_linear
from baselines.optimise import CHUNK, DEVICE_CHUNK, lay_out, optimise_detector, optimise_fusion, optimise_grid
from baselines.quantise import quantise_convolutions, quantise_linear
from baselines.region import RegionModel
from baselines.vilbert import VilbertFusion
from baselines.weights import load_state
from experiments.vilt.configuration import SystemConfiguration
from experiments.vilt.floor import ViltFloor
from experiments.vilt.inputs import VOCABULARY, Inputs, load_inputs
from experiments.vilt.model import STAGES as VILT_STAGES
from experiments.vilt.model import VISUAL_STAGES as VILT_VISUAL_STAGES
from experiments.vilt.model import LeanVilt, NaiveVilt, build_vilt, vilt_parameters
from harness.measure.switches import onednn, tf32

__all__ = ["COMPILER", "Facts", "System", "build_system", "variant"]

RequestModel = RegionModel | GridModel | NaiveVilt | LeanVilt | ViltFloor

COMPILER = "inductor"
"""The backend of ``torch.compile``."""
LAYOUTS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}


@dataclass(frozen=True)
class Facts:
    """What one checked request consisted of.

    ``numbers``, each per pair of image and text: ``visual_tokens``, ``text_tokens``, their sum ``tokens``; for region
    models also ``proposals``, ``regions``, and ``rpn_survivors``, the proposals that survived suppression before any
    filling up (the fewest of any image; more than ``proposals`` may). ``output`` [B, hidden] is the pooled output.
    """

    numbers: dict[str, int]
    output: torch.Tensor


class System:
    """One arm of the comparison.

    ``stages`` in the order in which they run and ``visual_stages``, those of them that count as visual
    embedding (the paper's sense: everything before the transformer on the image's side).
    """

    def __init__(
        self,
        configuration: SystemConfiguration,
        model: RequestModel,
        inputs: Inputs,
        *,
        stages: tuple[str, ...],
        visual_stages: tuple[str, ...],
        parameters: dict[str, int],
    ) -> None:
        self.configuration = configuration
        self.label = configuration.label
        self.model = model
        self.inputs = inputs
        self.stages = stages
        self.visual_stages = visual_stages
        self._parameters = parameters

    def __call__(self, mark: Mark = no_mark) -> torch.Tensor:
        """Answer one request: the pooled output [B, hidden], which a system with graphs overwrites in its next one.

        ``mark`` is called right after each stage of ``stages``, once each and in order. The device is not
        synchronised: that belongs to whoever measures.
        """
        return self._run(mark)[0]

    def parameters_by_component(self) -> dict[str, int]:
        """Weights by component before any folding, the text embedding on its own (``text_embedding``)."""
        return dict(self._parameters)

    def check(self) -> Facts:
        """Run one request and return what it consisted of.

        Raises ``StructureError`` where stages were not marked once and in order, a number is not the configured
        one, or a value is not finite.
        """
        marked: list[str] = []
        pooled, found = self._run(marked.append)
        if tuple(marked) != self.stages:
            raise StructureError(f"{self.label} marked the stages {marked} instead of {list(self.stages)}.")
        tensors = {"pooled output": pooled}
        facts = {"text_tokens": int(self.inputs.tokens.shape[1])}
        if isinstance(found, Detection):
            tensors |= {f"raw {name}": value for name, value in found.raw.items()}
            tensors |= {"proposals": found.proposals, "boxes": found.boxes, "features": found.features}
            facts["proposals"] = int(found.proposals.shape[1])
            facts["rpn_survivors"] = min(found.survivors)
            facts["regions"] = facts["visual_tokens"] = int(found.boxes.shape[1])
        else:
            tensors["tokens"] = found
            text = facts["text_tokens"] if self.configuration.row.embedding == "linear" else 0
            facts["visual_tokens"] = int(found.shape[1]) - text
        facts["tokens"] = facts["text_tokens"] + facts["visual_tokens"]
        self._compare(facts)
        for name, tensor in tensors.items():
            if not bool(torch.isfinite(tensor).all()):
                raise StructureError(f"{self.label} gave values that are not finite in its {name}.")
        return Facts(facts, pooled.clone())

    def _run(self, mark: Mark) -> tuple[torch.Tensor, Any]:
        with torch.inference_mode(), self._switches():
            return cast(tuple[torch.Tensor, Any], self.model(self.inputs.pixels, self.inputs.tokens, mark))

    def _switches(self) -> AbstractContextManager[None]:
        kind = self.inputs.pixels.device.type
        if kind == "cpu":
            return onednn(self.configuration.onednn)
        return tf32(self.configuration.tf32) if kind == "cuda" else nullcontext()

    def _compare(self, facts: dict[str, int]) -> None:
        configuration = self.configuration
        wanted = {"visual_tokens": configuration.visual_tokens, "text_tokens": configuration.text_length}
        if configuration.row.embedding == "region":
            wanted |= {"proposals": configuration.proposal_count, "regions": configuration.region_count}
        for name, number in wanted.items():
            if facts[name] != number:
                raise StructureError(f"{self.label} has {facts[name]} {name.replace('_', ' ')} instead of {number}.")


def build_system(
    configuration: SystemConfiguration, *, device: str = "cpu", seed: int = 0, capture: Capture | None = None
) -> System:
    """Build the system of ``configuration`` on ``device`` with everything random drawn from ``seed``.

    Weights are drawn on the CPU before any optimisation, so systems of the same model and seed share them
    whatever their implementation, dtype and device. On the device "meta" nothing is drawn and shapes alone
    flow: for counting. Real weights do not take the scene away: the amount of work stays that of the
    configuration. ``capture`` records graphs; CUDA's where it is None.
    Raises ``StructureError`` (too few anchors for the proposals; graphs or 8 bits where there is no such thing) and
    ``WeightsError``.
    """
    place = torch.device(device)
    with torch.random.fork_rng(devices=[]), torch.no_grad(), place if place.type == "meta" else nullcontext():
        torch.default_generator.manual_seed(seed)
        if configuration.row.embedding == "linear":
            system = _vilt_system(configuration, place)
        elif configuration.row.embedding == "grid":
            system = _grid_system(configuration, place)
        else:
            system = _region_system(configuration, place, seed)
    if configuration.linear_library == "onednn" and place.type == "cpu":
        use_onednn_linear(system.model)
    if configuration.quantise != "none":
        _quantise(system)
    if configuration.compile:
        for part in system.model.dense_parts():
            part.compile(backend=COMPILER)
    if configuration.graphs:
        if capture is None and place.type != "cuda":
            raise StructureError(f"Graphs are CUDA's: {configuration.label} cannot run on {place.type}.")
        # Its validation sees to it that a system with graphs is none of those that cannot have any.
        cast(RegionModel | GridModel | LeanVilt, system.model).use_graphs(Graphs(capture or capture_on_cuda))
    return system


def variant(system: System, configuration: SystemConfiguration) -> System:
    """Return a system that shares another's model and inputs, and differs in switches alone (oneDNN, TF32)."""
    return System(
        configuration,
        system.model,
        system.inputs,
        stages=system.stages,
        visual_stages=system.visual_stages,
        parameters=system.parameters_by_component(),
    )


def _quantise(system: System) -> None:
    """Round to 8 bits what the configuration says, in place."""
    if system.inputs.pixels.device.type != "cpu":
        raise StructureError(f"Quantisation to 8 bits is for CPUs: {system.label} cannot run on a GPU.")
    model = system.model
    if system.configuration.quantise == "static-int8":
        parts: list[tuple[nn.Module, str]] = [(model, "backbone")]
        if isinstance(model, RegionModel):
            detector = model.detector
            parts = [(detector, "backbone"), (detector.rpn_head, "conv"), (detector, "roi_head")]
        quantise_convolutions(parts, system)
    quantise_linear(model)


def _vilt_system(configuration: SystemConfiguration, device: torch.device) -> System:
    vilt = build_vilt(configuration.weights)
    longest = vilt.config.max_position_embeddings
    if configuration.text_length > longest:
        raise StructureError(
            f"The ViLT checkpoint reads at most {longest} text tokens, {configuration.text_length} were asked for."
        )
    parameters = vilt_parameters(vilt)
    if configuration.implementation == "floor":
        model: RequestModel = ViltFloor(
            vilt, configuration.size, batch=configuration.batch, text_tokens=configuration.text_length
        )
    elif configuration.implementation == "optimised" or device.type == "meta":
        # transformers picks patches by their values, which meta tensors have not; the lean path has the same
        # products.
        model = LeanVilt(vilt, configuration.size)
    else:
        model = NaiveVilt(vilt)
    return _system(
        configuration,
        model,
        device,
        VILT_STAGES,
        VILT_VISUAL_STAGES,
        parameters,
        vocabulary=vilt.config.vocab_size,
    )


def _grid_system(configuration: SystemConfiguration, device: torch.device) -> System:
    fusion = SingleStream(GridModel.features, box_width=0)
    model = GridModel(cast(str, configuration.body), fusion, tokens=configuration.fixed_grid_tokens)
    if configuration.weights is not None:
        load_state(model.backbone, configuration.weights)
    parameters = model.parameters_by_component()
    if configuration.implementation == "optimised":
        optimise_grid(model.backbone)
        optimise_fusion(fusion)
    return _system(configuration, model, device, model.stages, model.visual_stages, parameters)


def _region_system(configuration: SystemConfiguration, device: torch.device, seed: int) -> System:
    row = configuration.row
    plan = DetectorPlan(
        body=cast(str, configuration.body),
        pyramid=row.cut == "FPN",
        proposals=configuration.proposal_count,
        regions=configuration.region_count,
        pre_nms=cast(int, row.pre_nms),
        nms=cast(str, configuration.suppression),
        nms_threshold=row.nms_threshold,
        classes=row.classes,
        attributes=row.attributes,
        one_box_for_all=row.one_box_for_all,
    )
    detector = RegionDetector(plan)
    fusion = _fusion(row.fusion, plan.features, row.box_width)
    model = RegionModel(detector, fusion)
    if configuration.weights is not None:
        load_state(detector, configuration.weights)
    parameters = model.parameters_by_component()
    detector.prepare(configuration.scene, configuration.size, batch=configuration.batch, seed=seed)
    if configuration.implementation == "optimised":
        optimise_detector(detector, chunk=DEVICE_CHUNK if device.type == "cuda" else CHUNK)
        optimise_fusion(fusion)
    system = _system(configuration, model, device, model.stages, model.visual_stages, parameters)
    if detector.scene is not None:
        detector.scene = detector.scene.to(device)
    return system


def _fusion(kind: str, features: int, box_width: int) -> Fusion:
    if kind == "vilbert":
        return VilbertFusion(features)
    if kind == "lxmert":
        return LxmertFusion(features)
    if kind == "visualbert":
        return VisualBertFusion(features)
    return SingleStream(features, box_width=box_width)


def _system(
    configuration: SystemConfiguration,
    model: RequestModel,
    device: torch.device,
    stages: tuple[str, ...],
    visual_stages: tuple[str, ...],
    parameters: dict[str, int],
    *,
    vocabulary: int | None = None,
) -> System:
    """Move the model and its inputs to the device in the configured dtype."""
    dtype = getattr(torch, configuration.dtype)
    model = model.to(device=device, dtype=dtype).eval().requires_grad_(False)
    if configuration.memory_format is not None:
        lay_out(model, LAYOUTS[configuration.layout])
    inputs = _inputs(configuration, device, dtype, vocabulary or VOCABULARY)
    return System(configuration, model, inputs, stages=stages, visual_stages=visual_stages, parameters=parameters)


def _inputs(configuration: SystemConfiguration, device: torch.device, dtype: torch.dtype, vocabulary: int) -> Inputs:
    batch, text, size = configuration.batch, configuration.text_length, configuration.size
    if device.type == "meta":
        pixels = torch.empty(batch, 3, *size, device=device, dtype=dtype)
        return Inputs(pixels, torch.empty(batch, text, dtype=torch.long, device=device))
    embedding = configuration.row.embedding
    loaded = load_inputs(embedding, size, batch=batch, text_tokens=text, vocabulary=vocabulary)
    pixels = loaded.pixels.to(device=device, dtype=dtype, memory_format=LAYOUTS[configuration.layout])
    return Inputs(pixels, loaded.tokens.to(device))
