"""Are data and model there, and do they fit each other? Asked before a trial is started."""

from __future__ import annotations

from experiments.data.settings import DigitsSettings
from experiments.data.translation_settings import ProceduralTranslationSettings
from experiments.rdrop.conventions import ConventionName
from experiments.rdrop.data_settings import ClassificationSettings, ProceduralTextSettings, TextFilesSettings
from experiments.rdrop.fit import require_fit
from experiments.rdrop.model_settings import HuggingFaceSettings, ModelSettings
from experiments.rdrop.optimiser_settings import OptimiserSettings
from harness.errors import UserError


def data_and_model_are_there(
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
    data_root: str | None,
    download: bool,
) -> None:
    """Refuse what does not fit; open files once, and a transformers model's folder.

    Raises:
        UserError: the sentence says what does not fit, or which files go where.
    """
    require_fit(
        data=data,
        model=model,
        optimiser=optimiser,
        second_dropout=second_dropout,
        together=together,
        passes=passes,
        convention=convention,
        input_noise=input_noise,
        precision=precision,
    )
    texts = isinstance(data, ProceduralTextSettings | TextFilesSettings)
    if isinstance(data, TextFilesSettings):
        from experiments.data.text_files import load_text_files

        load_text_files(data, data_root)
    elif not isinstance(data, DigitsSettings | ProceduralTextSettings):
        from experiments.data import load

        load(data, 0, root=data_root, download=download)
    if isinstance(model, HuggingFaceSettings):
        from experiments.rdrop.hugging_face import Tokenizer, build_hugging_face
        from harness.execution.streams import Stream

        if texts:
            Tokenizer(model, download)
        build_hugging_face(model, not texts, 2, None, Stream("ready"), download)


def translation_is_possible(*, data: ProceduralTranslationSettings, width: int, heads: int) -> None:
    """Refuse a translator whose heads do not share its width, and a language that has too few sentences.

    Raises:
        UserError: the sentence says which.
    """
    from experiments.data.procedural_translation import make_translation

    if width % heads:
        raise UserError(f"'width' {width} cannot be shared among {heads} 'heads'; choose a multiple")
    try:
        make_translation(data, 0)
    except ValueError as error:
        raise UserError(f"{data.source}: {error}") from None
