"""Do data, model and what is asked of them fit each other? Asked before anything is started, and by the trial."""

from __future__ import annotations

from experiments.data.settings import DigitsSettings
from experiments.rdrop.conventions import CONVENTIONS, ConventionName
from experiments.rdrop.data_settings import ClassificationSettings, ProceduralTextSettings, TextFilesSettings
from experiments.rdrop.model_settings import (
    HuggingFaceSettings,
    ModelSettings,
    TransformerSettings,
    VisionTransformerSettings,
)
from experiments.rdrop.optimiser_settings import OptimiserSettings
from harness.errors import UserError

CIFAR_SIDE = 32


def require_fit(
    *,
    data: ClassificationSettings,
    model: ModelSettings,
    optimiser: OptimiserSettings,
    second_dropout: float | None,
    together: bool,
    passes: int,
    convention: ConventionName,
    input_noise: tuple[float, ...],
    precision: str,
) -> None:
    """Refuse what cannot be trained; the trial function says what each parameter is.

    Raises:
        UserError: one sentence on what does not fit, and what would.
    """
    texts = isinstance(data, ProceduralTextSettings | TextFilesSettings)
    if isinstance(data, TextFilesSettings) and not isinstance(model, HuggingFaceSettings):
        raise UserError(f"text-files: the model '{model.kind}' has no tokenizer; choose the kind 'hugging-face'")
    if isinstance(data, ProceduralTextSettings) and not isinstance(model, TransformerSettings):
        raise UserError(f"procedural-text: the model '{model.kind}' does not take numbered words; choose 'transformer'")
    if not texts and isinstance(model, TransformerSettings):
        raise UserError(f"{data.source}: the model 'transformer' does not take images; choose 'vision-transformer'")
    if isinstance(model, VisionTransformerSettings):
        side = data.size if isinstance(data, DigitsSettings) else CIFAR_SIDE
        if side % model.patch:
            raise UserError(f"{data.source}: images of {side} x {side} cannot be cut into patches of {model.patch}")
    if isinstance(data, TextFilesSettings) and input_noise:
        raise UserError("text-files: words of texts in files are not replaced; leave 'input_noise' out")
    if isinstance(model, HuggingFaceSettings) and (together or second_dropout is not None):
        asked = "together" if together else "second_dropout"
        raise UserError(f"'{asked}' needs one of the small models; '{model.name}' has dropout of its own")
    if together and optimiser.clip is not None:
        raise UserError("'together': a gradient's length is one model's own, so 'clip' needs models trained one by one")
    if together and precision != "float32":
        raise UserError("'together' computes in float32; leave 'precision' out, or train models one by one")
    form = CONVENTIONS[convention]
    if isinstance(model, HuggingFaceSettings) and model.pieces > 1 and form.summed:
        raise UserError(f"the convention '{convention}' sums over a batch, whose 'pieces' then do not add up")
    if passes > 2 and form.first != form.second:
        raise UserError(f"the convention '{convention}' counts one of two passes, so it has no form for {passes}")
