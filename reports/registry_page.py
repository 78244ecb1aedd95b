"""The page of registered claims, in Markdown: a table a paper, a row a claim, a column a fidelity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import get_args

from harness.spec.claims import ClaimBase
from harness.spec.models import Fidelity
from harness.verdicts.rules import VERDICTS
from reports.registry import Entry, Result, Results, conclusive_profiles, verdicts_of

FIDELITIES: tuple[Fidelity, ...] = get_args(Fidelity)
HIGHEST: Fidelity = "paper"
"""The fidelity at which a verdict may be "reproduced"; every other one caps it."""
LONGEST = 110
BREAK = "<br>"

HEAD = """# The registered claims

Written by `harness claims` from the claims files and from {source}; a change by hand is lost with the next one.

A verdict stands in the column of the fidelity of the profile that it came about under, with its effect, the interval
(95 %, or wider where looks spend the level), the number of units, experiment and profile. Only `paper` may say
"reproduced": `proxy` and `reduced` cap a verdict at "direction only", however well the size agrees. Where a spec tunes,
"matched" is the paper's design and "best" each arm at its own best settings. Where a claim has no verdict, the cell
says whether a profile of that fidelity is there, and which. Profiles that only show that everything runs are left out.
[verdicts.md](verdicts.md) has the rules.
"""


def registry_page(entries: Sequence[Entry], results: Results) -> str:
    """Return the page: the same text for the same claims and results, in the order of the files."""
    source = "the store of results" if results.of_store else "reports (`--results`)"
    papers: dict[str, list[Entry]] = {}
    for entry in entries:
        papers.setdefault(entry.claim.paper, []).append(entry)
    parts = [HEAD.format(source=source)]
    if papers:
        parts.append("\n".join(f"- {_counts(paper, own, results)}" for paper, own in papers.items()) + "\n")
    else:
        parts.append("No claim is registered.\n")
    parts += ["\n".join(_table(paper, own, results)) for paper, own in papers.items()]
    if results.unknown:
        parts.append("\n".join(_unknown(results.unknown)))
    return "\n".join(parts)


def cell(text: str, longest: int | None = None) -> str:
    """Return text as it stands in a cell of a table: one line, no markup of its own, cut where it is too long."""
    line = " ".join(text.split())
    if longest is not None and len(line) > longest:
        line = line[: longest - 1].rstrip() + "…"
    for character in ("\\", "|", "*", "_", "`", "["):
        line = line.replace(character, "\\" + character)
    return line.replace("<", "&lt;")


def claim_cell(claim: ClaimBase) -> str:
    """Return the first cell of a claim's row: its id and its sentence, whole, and what is compared."""
    form = claim.form.replace("_", "-")  # type: ignore[attr-defined]
    return BREAK.join((f"`{claim.id}`", cell(claim.statement), f"{form} of {_code(claim.metric)}"))


def _code(text: str) -> str:
    """Return text as code within a table; a backtick would end it."""
    return f"`{' '.join(text.split()).replace('`', chr(39)).replace('|', chr(92) + '|')}`"


def _counts(paper: str, entries: Sequence[Entry], results: Results) -> str:
    """Return one line: how many claims a paper has, and how often each verdict came out."""
    found = [[r for r in verdicts_of(entry, results) if r.verdict != "not run"] for entry in entries]
    counts = Counter(result.verdict for of_claim in found for result in of_claim)
    listed = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict])
    without = sum(not of_claim for of_claim in found)
    by_fidelity = Counter(result.fidelity for of_claim in found for result in of_claim)
    where = ", ".join(f"{by_fidelity[fidelity]} at {fidelity}" for fidelity in FIDELITIES if by_fidelity[fidelity])
    verdicts = f"verdicts, by profile and reading: {listed} ({where})" if listed else "no verdict"
    return f"**{cell(paper)}**, {_number(len(entries), 'claim')}: {verdicts}; {_number(without, 'claim')} not run"


def _number(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _table(paper: str, entries: Sequence[Entry], results: Results) -> Iterator[str]:
    sources = ", ".join(dict.fromkeys(f"arXiv {entry.claim.arxiv}" for entry in entries))
    yield f"## {cell(paper)} ({sources})\n"
    caps = [name if name == HIGHEST else f"{name} (at most direction only)" for name in FIDELITIES]
    yield _row(["claim", "stands in", "published", "judged by", *caps])
    yield _row(["---"] * (4 + len(FIDELITIES)))
    for entry in entries:
        yield _row(
            [
                claim_cell(entry.claim),
                f"{entry.claim.arxiv}, {cell(entry.claim.locator, LONGEST)}",
                _published(entry.claim),
                ", ".join(experiment.name for experiment in entry.experiments) or "no experiment",
                *(BREAK.join(_verdicts(entry, fidelity, results)) for fidelity in FIDELITIES),
            ]
        )
    yield ""


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _published(claim: ClaimBase) -> str:
    """Return the published figure with its dispersion and where it stands, if that is elsewhere than the sentence."""
    figure = claim.published
    if figure is None:
        return "no figure"
    text = f"{figure.value:.5g} {figure.unit or claim.unit}".rstrip()
    if figure.sd is not None:
        text += f" ± {figure.sd:.3g}"
    where = figure.locator if figure.locator != claim.locator else ""
    notes = [note for note in (where, "read at second hand" if figure.basis == "secondary" else "") if note]
    return cell(text) + (f" ({cell('; '.join(notes), LONGEST)})" if notes else "")


def _verdicts(entry: Entry, fidelity: Fidelity, results: Results) -> Iterator[str]:
    """Yield a line for every verdict at one fidelity, and for the profiles that have none."""
    if not entry.experiments:
        yield "not run (no experiment judges it)"
        return
    profiles = {e.name: (e, known) for e in entry.experiments if (known := conclusive_profiles(e, fidelity))}
    if not profiles:
        yield "not run (no experiment has such a profile)"
    for name, (experiment, known) in profiles.items():
        missing = []
        for profile in known:
            found = results.of(entry.claim, experiment, profile)
            yield from (_verdict(result, entry.claim) for result in found)
            missing += [] if found else [_code(profile)]
        if missing:
            yield f"{'not run' if results.of_store else 'no result read'} ({name} has {', '.join(missing)})"


def _verdict(result: Result, claim: ClaimBase) -> str:
    reading = f"{result.reading}: " if result.reading is not None else ""
    where = f"{result.experiment} {_code(result.profile)}"
    older = "" if result.is_of(claim) else "; judged as it was registered before"
    if result.verdict in ("not run", "not comparable"):
        return f"{reading}**{result.verdict}**: {cell(result.reason, LONGEST)} ({where}{older})"
    return f"{reading}**{result.verdict}** {_effect(result)} ({where}{older})"


def _effect(result: Result) -> str:
    if result.effect is None:
        return f"no effect: {cell(result.reason, LONGEST)}"
    text = f"{result.effect:.4g} {cell(result.unit)}".rstrip()
    if result.ci_low != result.ci_high or result.ci_low is None:
        low, high = (f"{end:.4g}" if end is not None else open_end for end, open_end in _ends(result))
        text += f" [{low}, {high}]"
    return f"{text}, n {result.n}"


def _ends(result: Result) -> tuple[tuple[float | None, str], tuple[float | None, str]]:
    """Return both ends of an interval, each with what stands for one that is not finite."""
    return (result.ci_low, "−∞"), (result.ci_high, "∞")


def _unknown(results: Sequence[Result]) -> Iterator[str]:
    yield "## Results that fit no registered claim\n"
    yield "They were read; their claim, experiment or profile is none of those above, or has another fidelity now.\n"
    for result in results:
        reading = f", {result.reading}" if result.reading else ""
        yield (
            f"- {_code(result.claim)} ({cell(result.experiment)}, {_code(result.profile)}{reading}, at "
            f"{result.fidelity} fidelity): {result.verdict}"
        )
    yield ""
