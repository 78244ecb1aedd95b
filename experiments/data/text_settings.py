"""Which texts with a class each are asked for.

Read by the command line, so nothing here imports torch, numpy or pandas.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Name = Annotated[str, Field(min_length=1)]


class TextFilesSettings(BaseModel):
    """Texts, or pairs of texts, with a class each, from files such as GLUE's tasks exported to files.

    ``train``, ``test`` and ``validation`` name .csv, .tsv or .parquet files below ``data_root``, or anywhere by an
    absolute path. ``test`` is the labelled file that is reported on: of GLUE, whose test labels are hidden, the
    validation (dev) file. ``validation`` is a file, or the share of every class's training examples that is held out.
    ``text``, ``second_text`` (for pairs) and ``label`` name columns; other columns are ignored. Fields of a .csv file
    may be in double quotes; in a .tsv file, as in GLUE's own, a quote is a character like any other.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Literal["text-files"] = "text-files"
    train: Name
    test: Name
    validation: str | float = 0.1
    text: Name = "sentence"
    second_text: Name | None = None
    label: Name = "label"

    @model_validator(mode="after")
    def _usable(self) -> Self:
        # Not a Field constraint: of a union, pydantic would complain about every member, and not about the share.
        if self.validation == "":
            raise ValueError("validation is empty; it is the name of a file or a share such as 0.1.")
        if not isinstance(self.validation, str) and not 0 < self.validation < 1:
            raise ValueError(
                f"validation is {self.validation:g}; it is the name of a file, or a share of the training examples "
                "above 0 and below 1."
            )
        columns = [name for name in (self.text, self.second_text, self.label) if name is not None]
        if len(set(columns)) < len(columns):
            raise ValueError(
                f"text, second_text and label name the columns {', '.join(columns)}; each needs a column of its own."
            )
        return self
