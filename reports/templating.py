"""The templates of the page, and how they are filled in."""

from __future__ import annotations

import time
from functools import cache

import jinja2

from reports.explain import explanation, interval_text
from reports.manifest import TEMPLATES
from reports.rendering.html import table_html


@cache
def environment() -> jinja2.Environment:
    """Return what the page's templates are filled in with: everything is text unless a template says otherwise."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    found.filters["explained"] = explanation
    found.filters["interval"] = interval_text
    found.filters["slug"] = lambda text: str(text).replace(" ", "-")
    found.filters["table"] = table_html
    return found


def moment(seconds: float) -> str:
    """Return a time, in seconds since the epoch, as people read it."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
