"""Traces as files: torch's own export, with the stages under their names and every track nested as Perfetto wants it.

A Chrome trace holds slices (``ph`` "X") on tracks (``pid`` and ``tid``). Perfetto's importer drops a slice that begins
within another one of its track and ends after it (``slice_drop_overlapping_complete_event`` in its
``slice_tracker.cc``). torch writes such slices: an annotation begins inside the Python call that makes it, and a kernel
may overlap the next by the clock's resolution. They are moved to a track of their own here; no time is changed.
"""

from __future__ import annotations

import gzip
import itertools
import json
import os
import platform
import re
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ENDING = ".pt.trace.json.gz"
"""Of files that torch-tb-profiler takes for traces."""
ANNOTATIONS = ("user_annotation", "gpu_user_annotation")
STEP_PREFIX = "ProfilerStep#"
ROLE = "harness"
"""The key, among a slice's arguments, that says of an annotation of ours whether it is a ``request`` or a ``stage``."""
REQUEST, STAGE = "request", "stage"
REQUEST_RANGE = "#request"
"""What annotations of whole requests are called until the trace is given its names."""
OWN_TRACK = "steps and stages"

Event = dict[str, Any]
Track = tuple[Any, Any]


def trace_folder(root: Path, arm: str) -> Path:
    """Make and return a new folder for an arm's traces, by a name that is no path: TensorBoard lists it as a run."""
    name = re.sub(r"[^\w.=-]+", "_", arm).strip(".") or REQUEST
    names = (name if not number else f"{name}-{number + 1}" for number in itertools.count())
    folder = next(root / name for name in names if not (root / name).exists())
    folder.mkdir(parents=True)
    return folder


def trace_name(worker: str = "", moment: int | None = None) -> str:
    """Return a file's name as ``torch.profiler.tensorboard_trace_handler`` chooses it: worker, moment in ns, ending.

    What is no letter, digit, dot, dash or underscore in the worker's name becomes an underscore, so that it holds no
    path. By default the worker is host and process.
    """
    worker = re.sub(r"[^\w.-]+", "_", worker or f"{platform.node()}_{os.getpid()}")
    return f"{worker}.{time.time_ns() if moment is None else moment}{ENDING}"


def read_trace(path: Path) -> dict[str, Any]:
    """Return the document in a trace file, compressed or not."""
    data = path.read_bytes()
    return dict(json.loads(gzip.decompress(data) if path.suffix == ".gz" else data))


def write_trace(document: Mapping[str, Any], path: Path) -> None:
    """Write a trace, compressed."""
    with gzip.open(path, "wb", compresslevel=6) as file:
        file.write(json.dumps(document, separators=(",", ":")).encode())


def with_names(document: Mapping[str, Any], stages: Mapping[str, str]) -> dict[str, Any]:
    """Return a trace in which stages have their names, and steps, requests and stages a track of their own.

    Args:
        document: as torch exported it; it is changed.
        stages: by the name of an annotation, that of the stage it stands for; '' for what is none: it is left out.
    """
    events: list[Event] = []
    own: list[Event] = []
    for event in document["traceEvents"]:
        name = event.get("name", "")
        if event.get("cat") not in ANNOTATIONS:
            events.append(event)
            continue
        role = STAGE if name in stages else REQUEST if name == REQUEST_RANGE else ""
        if role == STAGE and not stages[name]:
            continue
        if role:
            event["name"] = stages.get(name, REQUEST)
            event.setdefault("args", {})[ROLE] = role
        if event["cat"] == "user_annotation" and (role or name.startswith(STEP_PREFIX)):
            own.append(event)
        events.append(event)
    _on_own_track(events, own)
    return {**document, "traceEvents": events}


def _on_own_track(events: list[Event], own: list[Event]) -> None:
    """Move annotations to a new track of their process, above its threads."""
    for pid in dict.fromkeys(event["pid"] for event in own):
        tid = _new_track(events, pid)
        events += _track_names(pid, tid, OWN_TRACK, -1)
        for event in own:
            if event["pid"] == pid:
                event["tid"] = tid


def _new_track(events: list[Event], pid: Any) -> int:
    """Return a thread number that no event of a process has."""
    return 1 + max((e["tid"] for e in events if e.get("pid") == pid and isinstance(e.get("tid"), int)), default=0)


def _track_names(pid: Any, tid: int, name: str, place: int) -> list[Event]:
    common = {"ph": "M", "ts": 0, "pid": pid, "tid": tid}
    return [
        {**common, "name": "thread_name", "args": {"name": name}},
        {**common, "name": "thread_sort_index", "args": {"sort_index": place}},
    ]


def nested(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a trace whose slices lie apart or within each other on every track.

    Of two that overlap the one that begins later moves to another track, and the flows that begin or end with it too.
    Slices stand in order, outer ones first, as an importer that sorts by time alone needs them.
    """
    events: list[Event] = document["traceEvents"]
    slices = sorted((e for e in events if e.get("ph") == "X"), key=lambda e: (_start(e), -_length(e)))
    lanes: dict[Track, list[list[int]]] = defaultdict(lambda: [[]])
    tracks: dict[tuple[Any, Any, int], int] = {}
    moved: dict[tuple[Any, Any, Any], int] = {}
    added: list[Event] = []
    for event in slices:
        pid, tid = event.get("pid"), event.get("tid")
        lane = _lane(lanes[pid, tid], _start(event), _start(event) + _length(event))
        if lane == 0:
            continue
        if (pid, tid, lane) not in tracks:
            tracks[pid, tid, lane] = _new_track([*events, *added], pid)
            added += _track_names(pid, tracks[pid, tid, lane], f"{tid}, overlapping ({lane})", lane)
        event["tid"] = tracks[pid, tid, lane]
        moved[pid, tid, event["ts"]] = event["tid"]
    for event in events:
        if event.get("ph") in ("s", "t", "f"):
            event["tid"] = moved.get((event.get("pid"), event.get("tid"), event.get("ts")), event.get("tid"))
    names = [event for event in events if event.get("ph") == "M"]
    rest = [event for event in events if event.get("ph") not in ("M", "X")]
    return {**document, "traceEvents": [*names, *added, *slices, *rest]}


def _lane(lanes: list[list[int]], start: int, end: int) -> int:
    """Return the first lane in which a slice nests, and note it there; each lane holds the ends of its open slices."""
    for number, ends in enumerate(lanes):
        while ends and ends[-1] <= start:
            ends.pop()
        if not ends or end <= ends[-1]:
            ends.append(end)
            return number
    lanes.append([end])
    return len(lanes) - 1


def _start(event: Event) -> int:
    """Return when a slice begins in whole nanoseconds, to which importers round the file's microseconds."""
    return round(event["ts"] * 1000)


def _length(event: Event) -> int:
    return round(event.get("dur", 0) * 1000)
