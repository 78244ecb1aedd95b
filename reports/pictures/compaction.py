"""SVG as matplotlib writes it, made small and fit to stand in a page."""

from __future__ import annotations

import itertools
import re
from xml.etree import ElementTree

from reports.pictures.inks import INK, VARIABLES

Element = ElementTree.Element
SVG_NAMESPACE = "http://www.w3.org/2000/svg"
LINK = "{http://www.w3.org/1999/xlink}href"
ROOT_STYLE = "stroke-linejoin:round;stroke-linecap:butt"
"""What matplotlib says of all elements by a style sheet, which in a page would be all of the page's."""
PLACES = ("d", "x", "y", "width", "height", "viewBox", "points", "cx", "cy", "r", "x1", "x2", "y1", "y2")
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}(?:e[-+]?\d+)?")
_MOVED = re.compile(r"translate\(([-\d.]+)(?: ([-\d.]+))?\)")
_TRANSLATION = re.compile(r"(?:translate|matrix)\([^)]*\)")
_FADED = re.compile(r"(^|;)opacity:([\d.]+)")
_COLOURS = re.compile("|".join(["#000000", *VARIABLES]))


def compact(text: str, title: str, key: str) -> str:
    """Return an SVG file's text as a part of a page.

    Numbers have two digits after the point, colours are variables, and names are short and begin with ``key``: many
    pictures share a page. ``title`` is for those who do not see it.
    """
    root = ElementTree.fromstring(text)
    _simplify(root)
    _rename(root, key)
    root.attrib = {
        "xmlns": SVG_NAMESPACE,
        "role": "img",
        "aria-label": title,
        **{name: root.attrib[name] for name in ("width", "height", "viewBox") if name in root.attrib},
        "style": ROOT_STYLE,
    }
    return ElementTree.tostring(root, encoding="unicode")


def _simplify(element: Element) -> None:
    """Shorten everything below an element, the innermost first."""
    element.tag = element.tag.rpartition("}")[2]
    element.text = element.tail = None
    if LINK in element.attrib:
        element.attrib["href"] = element.attrib.pop(LINK)
    for name, value in list(element.attrib.items()):
        element.attrib[name] = _shortened(name, value)
    _move_by_place(element)
    if element.tag == "use":
        # Each mark fades by itself, also within a group: where many lie on each other, it is seen.
        if "style" in element.attrib:
            element.attrib["style"] = _FADED.sub(r"\1fill-opacity:\2;stroke-opacity:\2", element.attrib["style"])
        # Marks, and letters in a unit of which a hundred are a point or so.
        element.attrib |= {n: f"{float(element.attrib[n]):.1f}".removesuffix(".0") for n in "xy" if n in element.attrib}
    children = []
    for child in element:
        _simplify(child)
        if child.tag in ("metadata", "style") or (child.tag in ("g", "defs") and not len(child)):
            continue
        # Groups that say nothing: what is in them can stand by itself.
        children += list(child) if child.tag == "g" and set(child.attrib) <= {"id"} else [child]
    element[:] = _grouped_by_style(children)


def _shortened(name: str, value: str) -> str:
    if name == "d":
        return re.sub(r"\s*([A-Za-z])\s*", r"\1", _rounded(value)).strip()
    if name in PLACES:
        return _rounded(value)
    if name == "transform":
        return _TRANSLATION.sub(lambda found: _rounded(found[0]), value)
    if name == "style":
        return _COLOURS.sub(_variable, re.sub(r"\s*([:;])\s*", r"\1", value).strip("; "))
    return value


def _rounded(text: str) -> str:
    return _LONG_NUMBER.sub(_two_digits, text)


def _two_digits(found: re.Match[str]) -> str:
    rounded = f"{float(found[0]):.2f}".rstrip("0").rstrip(".")
    return "0" if rounded in ("-0", "") else rounded


def _variable(found: re.Match[str]) -> str:
    colour = INK if found[0] == "#000000" else found[0]
    return f"var({VARIABLES[colour]},{colour})"


def _move_by_place(element: Element) -> None:
    """Write where a glyph stands as its place, which is shorter than a transformation."""
    moved = _MOVED.fullmatch(element.get("transform", ""))
    if element.tag == "use" and moved and "x" not in element.attrib and "y" not in element.attrib:
        del element.attrib["transform"]
        element.attrib |= {
            name: part for name, part in zip("xy", moved.groups(), strict=True) if part not in (None, "0")
        }


def _grouped_by_style(children: list[Element]) -> list[Element]:
    """Put marks that follow each other and look alike into one group, which says once how they look."""
    found: list[Element] = []
    for style, run in itertools.groupby(children, _inherited_style):
        marks = list(run)
        if not style or len(marks) == 1:
            found += marks
            continue
        group = ElementTree.Element("g", {"style": style})
        for mark in marks:
            del mark.attrib["style"]
            group.append(mark)
        found.append(group)
    return found


def _inherited_style(element: Element) -> str:
    """Return a mark's style if a group may have it instead: not if it fades, for a group fades as a whole."""
    style = element.get("style", "") if element.tag in ("use", "path") else ""
    return "" if re.search(r"(?:^|;)opacity:", style) else style


def _rename(root: Element, key: str) -> None:
    """Give what is pointed to a short name of its own, and take all other names, and uses of nothing, away."""
    used: dict[str, str] = {}

    def new(name: str) -> str:
        return used.setdefault(name, f"{key}{len(used):x}")

    # A blank between words is a letter without a shape.
    blank = {f"#{path.get('id')}" for path in root.iter("path") if path.get("id") and not path.get("d")}
    for parent in list(root.iter()):
        for child in [child for child in parent if child.tag == "use" and child.get("href") in blank]:
            parent.remove(child)
    for element in root.iter():
        if element.get("href", "").startswith("#"):
            element.attrib["href"] = "#" + new(element.attrib["href"][1:])
        for name, value in element.attrib.items():
            if "url(#" in value:
                element.attrib[name] = re.sub(r"url\(#([^)]*)\)", lambda found: f"url(#{new(found[1])})", value)
    for parent in list(root.iter()):
        for child in list(parent):
            own = child.attrib.pop("id", "")
            if own in used:
                child.attrib["id"] = used[own]
            elif f"#{own}" in blank:
                parent.remove(child)
