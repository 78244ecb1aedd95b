"""The page as it stands against the page as rendered anew: which texts differ, and where on the page they stand."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from itertools import zip_longest

from reports.claim_differences import shown_pair

PAGE = "index.html"
HEADINGS = ("h1", "h2", "h3", "h4", "h5", "summary")
BLOCKS = frozenset(
    (*HEADINGS, "title", "style", "script", "p", "li", "dt", "dd", "td", "th", "caption", "figcaption", "pre")
)
PICTURE = "svg"


@dataclass(frozen=True)
class Block:
    """A piece of a page that holds text: a cell, a paragraph, a picture.

    ``kind`` is its tag, ``place`` where a reader finds it, ``text`` what is read (of a picture, its whole drawing),
    ``markup`` its start tags.
    """

    kind: str
    place: str
    text: str
    markup: str


@dataclass(frozen=True)
class PageDifference:
    """A piece of the page that differs. ``picture`` where it is a drawing and both pages have one there."""

    sentence: str
    picture: bool = False


def blocks_of(page: str) -> list[Block]:
    """Return the pieces of a page in order."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    reader.finish()
    return reader.blocks


def count_cells(blocks: Sequence[Block]) -> int:
    return sum(block.kind == "td" for block in blocks)


def page_differences(stands: str, recomputed: str) -> Iterator[PageDifference]:
    """Yield what differs between two pages; nothing only where they are equal to the byte."""
    if stands == recomputed:
        return
    named = False
    for there, here in _paired(blocks_of(stands), blocks_of(recomputed)):
        named = True
        yield _difference(there, here)
    if not named:
        yield _other_line(stands, recomputed)


def _paired(stands: list[Block], recomputed: list[Block]) -> Iterator[tuple[Block | None, Block | None]]:
    """Yield the pairs that differ; where pieces were added or taken away, the rest are matched by what they say."""
    if [block.kind for block in stands] == [block.kind for block in recomputed]:
        pairs: list[tuple[Block | None, Block | None]] = list(zip(stands, recomputed, strict=True))
    else:
        pairs = []
        first, second = ([(block.kind, block.text) for block in page] for page in (stands, recomputed))
        for _, a, b, c, d in difflib.SequenceMatcher(None, first, second, autojunk=False).get_opcodes():
            pairs += zip_longest(stands[a:b], recomputed[c:d])
    for there, here in pairs:
        if there is None or here is None or (there.text, there.markup) != (here.text, here.markup):
            yield there, here


def _difference(there: Block | None, here: Block | None) -> PageDifference:
    block = here or there
    assert block is not None
    place = ", ".join(part for part in (PAGE, block.place) if part)
    if there is None:
        return PageDifference(f"{place}: {_quoted(block)} is not there, and comes out when recomputed")
    if here is None:
        return PageDifference(f"{place}: {_quoted(block)} stands there, and does not come out when recomputed")
    if there.kind == here.kind == PICTURE:
        return PageDifference(f"{place}: is not the picture that comes out when recomputed", picture=True)
    if there.text == here.text:
        first, second = shown_pair(there.markup, here.markup)
        return PageDifference(f"{place}: the markup is {first}, recomputed {second}")
    first, second = shown_pair(there.text, here.text)
    return PageDifference(f"{place}: '{first}' stands there, recomputed '{second}'")


def _quoted(block: Block) -> str:
    if block.kind == PICTURE:
        return "a picture"
    return f"'{shown_pair(block.text, None)[0]}'" if block.text else f"an empty {block.kind}"


def _other_line(stands: str, recomputed: str) -> PageDifference:
    """Name the first line that differs between pages whose texts are all equal."""
    lines = zip_longest(stands.splitlines(keepends=True), recomputed.splitlines(keepends=True), fillvalue="")
    for number, (there, here) in enumerate(lines, 1):
        if there != here:
            first, second = shown_pair(there.strip() or repr(there), here.strip() or repr(here))
            return PageDifference(
                f"{PAGE}, line {number}, outside of any text: {first} stands there, recomputed {second}"
            )
    raise AssertionError("the pages are equal")


class _Reader(HTMLParser):
    """Cuts a page into blocks and keeps track of headings, rows and columns."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks: list[Block] = []
        self._kind = ""
        self._pieces: list[str] = []
        self._tags: list[str] = []
        self._code: list[str] | None = None
        self._depth = 0
        self._label = ""
        self._section = ""
        self._part = ""
        self._row = ""
        self._columns: list[str] = []
        self._column = 0
        self._in_head = False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        markup = self.get_starttag_text() or ""
        if tag == PICTURE and not self._depth:
            self.finish()
            self._kind, self._depth = PICTURE, 1
            self._label = dict(attributes).get("aria-label") or "without a name"
            self._pieces = [markup]
        elif self._depth:
            self._depth += tag == PICTURE
            self._pieces.append(markup)
        elif tag in BLOCKS:
            self.finish()
            self._kind, self._tags, self._pieces, self._code = tag, [markup], [], None
        else:
            self._structure(tag)
            self._tags.append(markup)
            if tag == "br":
                self._pieces.append(" ")
            if tag == "code" and self._code is None:
                self._code = []

    def _structure(self, tag: str) -> None:
        if tag == "table":
            self._columns, self._row = [], ""
        elif tag == "thead":
            self._in_head = True
        elif tag == "tbody":
            self._in_head = False
        elif tag == "tr":
            self._column, self._row = 0, ""
        elif tag == "section":
            self._section = self._part = ""

    def handle_endtag(self, tag: str) -> None:
        if self._depth:
            self._pieces.append(f"</{tag}>")
            self._depth -= tag == PICTURE
            if not self._depth:
                self.finish()
        elif tag in BLOCKS:
            self.finish()
        elif tag == "details":
            self._part = ""

    def handle_data(self, data: str) -> None:
        self._pieces.append(data)
        if self._code is not None and not self._depth and self._kind in ("td", "th"):
            self._code.append(data)

    def handle_comment(self, data: str) -> None:
        if self._depth:
            self._pieces.append(f"<!--{data}-->")

    def finish(self) -> None:
        """Close the block at hand."""
        text = "".join(self._pieces)
        kind = self._kind
        if kind != PICTURE:
            text = " ".join(text.split())
        if kind or text:
            self.blocks.append(Block(kind, self._place(kind), text, "".join(self._tags) if kind else ""))
        self._follow(kind, text)
        self._kind, self._pieces, self._tags, self._code = "", [], [], None

    def _place(self, kind: str) -> str:
        if kind == PICTURE:
            return f"picture '{self._label}'"
        if kind in HEADINGS or kind in ("title", "style"):
            return {"title": "title", "style": "style sheet"}.get(kind, "heading")
        parts = [f"section '{shown_pair(name, None)[0]}'" for name in (self._section, self._part) if name]
        if kind in ("td", "th") and not self._in_head:
            parts += [f"row '{self._row}'"] if self._row else []
            if self._column < len(self._columns):
                parts.append(f"column '{self._columns[self._column]}'")
        return ", ".join(parts)

    def _follow(self, kind: str, text: str) -> None:
        if kind in ("h1", "h2"):
            self._section, self._part = text, ""
        elif kind in HEADINGS:
            self._part = text
        elif kind in ("td", "th"):
            if self._in_head:
                self._columns.append(text)
                return
            if not self._column:
                # A claim's cell holds its sentence and its id; the id is what people look for.
                self._row = "".join(self._code).strip() if self._code else shown_pair(text, None)[0]
            self._column += 1
