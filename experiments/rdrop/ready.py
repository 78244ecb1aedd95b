"""Are data and model there, and do they fit each other? Asked before a trial is started."""

from __future__ import annotations

from experiments.data.settings import DigitsSettings
from experiments.rdrop.data_settings import ClassificationSettings, ProceduralTextSettings, TextFilesSettings
from experiments.rdrop.model_settings import HuggingFaceSettings, ModelSettings, TransformerSettings
from harness.errors import UserError


def data_and_model_are_there(
    *, data: ClassificationSettings, model: ModelSettings, data_root: str | None, download: bool
) -> None:
    """Refuse a model that does not take such data; open files once, and a transformers model's folder.

    Raises:
        UserError: the sentence says what does not fit, or which files go where.
    """
    texts = isinstance(data, ProceduralTextSettings | TextFilesSettings)
    if isinstance(data, TextFilesSettings) and not isinstance(model, HuggingFaceSettings):
        raise UserError(f"text-files: the model '{model.kind}' has no tokenizer; choose the kind 'hugging-face'")
    if isinstance(data, ProceduralTextSettings) and not isinstance(model, TransformerSettings):
        raise UserError(f"procedural-text: the model '{model.kind}' does not take numbered words; choose 'transformer'")
    if not texts and isinstance(model, TransformerSettings):
        raise UserError(f"{data.source}: the model 'transformer' does not take images; choose 'vision-transformer'")
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
