"""Templates that users write: one a line, each with one placeholder. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UserError

PLACEHOLDER = "{}"


def checked_template(template: str) -> str:
    """Return a template that can be used.

    Raises:
        ValueError: it has no placeholder ``{}``, more than one, or another brace; the sentence says which.
    """
    found = template.count(PLACEHOLDER)
    if found != 1:
        many = "has no placeholder" if found == 0 else f"has {found} placeholders"
        raise ValueError(f"the template '{template}' {many}; write the place of the class name once, as {PLACEHOLDER}")
    if set(template.replace(PLACEHOLDER, "")) & set("{}"):
        raise ValueError(f"the template '{template}' has a brace beside {PLACEHOLDER}; leave it out")
    return template


def read_templates(path: Path) -> tuple[str, ...]:
    """Return the templates of a text file in UTF-8: one a line; empty lines, and those that begin with #, are skipped.

    Raises:
        UserError: the file is missing, is not in UTF-8, has no template, or a line is none.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UserError(
            f"{path}, line {line}: is not in UTF-8 (byte {error.object[error.start]:#04x}); save the file as UTF-8"
        ) from None
    except OSError as error:
        raise UserError(f"the file of templates {path} cannot be read: {error.strerror}") from None
    found = []
    for number, row in enumerate(text.splitlines(), 1):
        template = row.strip()
        if template and not template.startswith("#"):
            try:
                found.append(checked_template(template))
            except ValueError as error:
                raise UserError(f"{path}, line {number}: {error}") from None
    if not found:
        raise UserError(f"{path}: has no template; write one a line, such as 'a photo of a {PLACEHOLDER}.'")
    return tuple(found)
