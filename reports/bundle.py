"""The zip of raw tables beside a report: what it holds, how it is made, and what differs in one that was edited."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest

from reports.cells import Table
from reports.claim_differences import shown_pair
from reports.collect import Results
from reports.manifest import TABLES
from reports.overview_table import claims_table
from reports.rendering.csv import records_csv, table_csv
from reports.rendering.latex import table_latex
from reports.rendering.markdown import table_markdown
from reports.rendering.text import file_names, folder_name

README = "README.txt"

# Zip files know no earlier moment; the same tables make the same file whenever that is.
MOMENT = (1980, 1, 1, 0, 0, 0)
# A zip that was made to fill the memory is not unpacked.
SHOWN_BEYOND = 1000
READABLE_BY_ALL = 0o644 << 16
UNIX = 3

EXPLANATION = """Raw tables of the report that lies beside this file (index.html).

EXPERIMENT-PROFILE/records.csv     a row a record: what 'harness export EXPERIMENT --profile PROFILE' writes
EXPERIMENT-PROFILE/claims.csv      a row a claim: verdict, effect, interval, published figure
EXPERIMENT-PROFILE/tables/NAME     every table of the page: .csv (all digits; intervals in columns of their own),
                                   .md (Markdown), .tex (LaTeX; needs booktabs, array and longtable)

In claims.csv and tables/ an apostrophe stands before text that a spreadsheet would take for a formula.
'harness verify' compares all of it with the stored raw samples.

In this file:
"""


def section_files(results: Results, tables: Sequence[Table]) -> dict[str, bytes]:
    """Return the raw tables of one experiment under one profile, by their names in the zip."""
    folder = f"{folder_name(results.design.name)}-{folder_name(results.design.profile_name)}"
    found = {
        f"{folder}/records.csv": records_csv(results.table),
        f"{folder}/claims.csv": table_csv(claims_table(results.judgements)).encode(),
    }
    for table, name in zip(tables, file_names(table.title for table in tables), strict=True):
        written = {"csv": table_csv(table), "md": table_markdown(table), "tex": table_latex(table, name)}
        found |= {f"{folder}/tables/{name}.{ending}": text.encode() for ending, text in written.items()}
    return found


def bundle(files: Mapping[str, bytes]) -> bytes:
    """Return a zip of files by name, and one more that says what they are; the same files make the same bytes."""
    whole = _with_explanation(files)
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name in sorted(whole):
            entry = zipfile.ZipInfo(name, MOMENT)
            entry.compress_type, entry.create_system, entry.external_attr = zipfile.ZIP_DEFLATED, UNIX, READABLE_BY_ALL
            archive.writestr(entry, whole[name])
    return data.getvalue()


def bundle_differences(data: bytes, recomputed: Mapping[str, bytes]) -> Iterator[str]:
    """Yield a sentence for each file that differs between a zip and the files that come out now.

    Zips are compared by what they hold: another version of the library that packs them packs them to other bytes.
    """
    expected = _with_explanation(recomputed)
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except Exception as error:  # A forged zip may be wrong in any way.
        yield f"{TABLES}: cannot be read: {error}"
        return
    with archive:
        times = Counter(archive.namelist())
        for name in sorted({*times, *expected}):
            place = f"{TABLES}, {shown_pair(name, None)[0]}"
            if name not in expected:
                yield f"{place}: is there, and does not come out when recomputed"
            elif name not in times:
                yield f"{place}: is missing"
            elif times[name] > 1:
                yield f"{place}: is there {times[name]} times"
            elif (found := _member(archive, name, len(expected[name]))) is None:
                yield f"{place}: cannot be read"
            elif found != expected[name]:
                yield f"{place}: {_first_difference(found, expected[name])}"


def _with_explanation(files: Mapping[str, bytes]) -> dict[str, bytes]:
    listed = "".join(f"{name}\n" for name in sorted(files))
    return {**files, README: (EXPLANATION + listed).encode()}


def _member(archive: zipfile.ZipFile, name: str, expected: int) -> bytes | None:
    """Return what a zip holds under a name, or its beginning where that is longer than expected; None if damaged."""
    try:
        with archive.open(name) as member:
            return member.read(expected + SHOWN_BEYOND)
    except Exception:  # As above.
        return None


def _first_difference(found: bytes, expected: bytes) -> str:
    lines = zip_longest(*(data.decode(errors="replace").split("\n") for data in (found, expected)))
    for number, (there, here) in enumerate(lines, 1):
        if there != here:
            first, second = shown_pair(there, here)
            return f"line {number} is '{first}', recomputed '{second}'"
    return "holds other bytes than come out when recomputed"
