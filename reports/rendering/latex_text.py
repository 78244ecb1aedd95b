"""Text as LaTeX that plain pdflatex sets: specials escaped, symbols by their commands, the rest as code points."""

from __future__ import annotations

import re
import unicodedata

from reports.rendering.text import one_line

ZERO_WIDTH_SPACE = "\u200b"
LONGEST_WORD = 40

_SPECIALS = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "`": r"\textasciigrave{}",
    '"': r"\textquotedbl{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    **{character: f"\\{character}" for character in "#$%&_{}"},
}  # fmt: skip

_TEXT = {
    "–": "textendash", "—": "textemdash", "―": "textemdash", "‘": "textquoteleft", "’": "textquoteright",
    "“": "textquotedblleft", "”": "textquotedblright", "„": "quotedblbase", "‚": "quotesinglbase",
    "«": "guillemotleft", "»": "guillemotright", "‹": "guilsinglleft", "›": "guilsinglright",
    "…": "textellipsis", "•": "textbullet", "°": "textdegree", "§": "textsection", "¶": "textparagraph",
    "†": "textdagger", "‡": "textdaggerdbl", "€": "texteuro", "£": "textsterling", "¥": "textyen", "¢": "textcent",
    "©": "textcopyright", "®": "textregistered", "™": "texttrademark", "‰": "textperthousand",
    "½": "textonehalf", "¼": "textonequarter", "¾": "textthreequarters",
    "¡": "textexclamdown", "¿": "textquestiondown", "¦": "textbrokenbar",
}  # fmt: skip

_MATHEMATICS = {
    "←": "leftarrow", "↑": "uparrow", "→": "rightarrow", "↓": "downarrow", "↔": "leftrightarrow", "↦": "mapsto",
    "⇐": "Leftarrow", "⇒": "Rightarrow", "⇔": "Leftrightarrow",
    "≤": "leq", "≥": "geq", "≠": "neq", "≈": "approx", "≡": "equiv", "≪": "ll", "≫": "gg", "∼": "sim", "≃": "simeq",
    "∝": "propto", "∈": "in", "⊂": "subset", "⊆": "subseteq", "∩": "cap", "∪": "cup", "∧": "wedge", "∨": "vee",
    "±": "pm", "∓": "mp", "×": "times", "÷": "div", "·": "cdot", "⋅": "cdot", "∞": "infty", "√": "surd",
    "∑": "sum", "∏": "prod", "∂": "partial", "∇": "nabla", "∆": "Delta", "∫": "int", "∘": "circ", "∅": "emptyset",
    "∀": "forall", "∃": "exists", "¬": "neg", "⟨": "langle", "⟩": "rangle", "ℓ": "ell", "µ": "mu",
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "varepsilon", "ζ": "zeta", "η": "eta", "θ": "theta",
    "ι": "iota", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "π": "pi", "ρ": "rho", "σ": "sigma",
    "ς": "varsigma", "τ": "tau", "υ": "upsilon", "φ": "varphi", "χ": "chi", "ψ": "psi", "ω": "omega",
    "Γ": "Gamma", "Δ": "Delta", "Θ": "Theta", "Λ": "Lambda", "Ξ": "Xi", "Π": "Pi", "Σ": "Sigma", "Υ": "Upsilon",
    "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega",
}  # fmt: skip

_HYPHENS_AND_SPACES = {
    ZERO_WIDTH_SPACE: r"\hspace{0pt}", "‐": "-", "‑": r"\mbox{-}", "‒": r"\textendash{}", "−": r"\ensuremath{-}",
}  # fmt: skip

# Letters of the encoding T1: those of Latin-1 and Latin Extended-A but for a few.
_LETTERS = {chr(code) for code in range(0xC0, 0x180)} - set("×÷ĦħĸĿŀŉŦŧſ")


def latex_text(text: str) -> str:
    """Return text, on one line, as LaTeX that shows it as it is.

    A character for which there is no command is written as its code point: ``[U+202E]``.
    """
    found = unicodedata.normalize("NFC", one_line(text)).translate(_COMMANDS)
    # A minus before a number is no hyphen, and a tilde before one means 'about'; what stands twice must not be drawn
    # together, as '--' would be.
    found = re.sub(r"(?<![\w.}\])-])-(?=\.?\d)", r"\\ensuremath{-}", found)
    found = re.sub(r"^\\textasciitilde\{\}(?=\d)", r"\\ensuremath{\\sim}", found)
    return re.sub(r"(?<=-)(?=-)|(?<=')(?=')|(?<=,)(?=,)", "{}", found)


def breakable(text: str) -> str:
    """Return text whose longest words may be broken."""
    return re.sub(rf"(\S{{{LONGEST_WORD}}})(?=\S)", rf"\1{ZERO_WIDTH_SPACE}", text)


class _Commands(dict[int, str]):
    """LaTeX by code point; what is not known yet is found when it is met."""

    def __missing__(self, code: int) -> str:
        self[code] = _command(chr(code))
        return self[code]


def _command(character: str) -> str:
    """Return the LaTeX of a character that no table lists."""
    if " " <= character <= "~" or character in _LETTERS:
        return character
    kind, *codes = unicodedata.decomposition(character).split() or [""]
    parts = [chr(int(code, 16)) for code in (codes if kind.startswith("<") else [kind, *codes]) if code]
    known = "".join(map(_known, parts)) if parts and all(map(_known, parts)) else ""
    if known and kind in ("<super>", "<sub>"):
        return f"\\text{kind[1:-1]}script{{{known}}}"
    return known or f"[U+{ord(character):04X}]"


def _known(character: str) -> str:
    """Return the LaTeX of a character; nothing where it would be its code point."""
    found = _COMMANDS[ord(character)]
    return "" if found.startswith("[U+") else found


_COMMANDS = _Commands(
    {
        ord(character): command
        for commands in (
            _SPECIALS,
            {character: f"\\{name}{{}}" for character, name in _TEXT.items()},
            {character: f"\\ensuremath{{\\{name}}}" for character, name in _MATHEMATICS.items()},
            _HYPHENS_AND_SPACES,
        )
        for character, command in commands.items()
    }
)
