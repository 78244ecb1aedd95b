"""``harness tensorboard``: scalars and profiles of a store in TensorBoard, with torch's profiler plugin."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import IO

import click

from harness.cli.log_folder import LogFolder, Update
from harness.cli.options import store_option
from harness.errors import UserError
from harness.spec.find import find_experiment
from harness.store.store import Store

LOOK_SECONDS = 10.0
"""How often the store is looked at for new attempts: as often as TensorBoard's plugin looks for new traces."""
START_SECONDS = 60.0
"""How long TensorBoard may take to answer; here it takes three."""
END_SECONDS = 10.0


@click.command("tensorboard")
@click.argument("specs", nargs=-1, metavar="[SPEC]...")
@click.option(
    "--logdir", default="build/tensorboard", show_default=True, metavar="DIR", help="A view that can be thrown away."
)
@click.option("--port", type=click.IntRange(1, 65535), default=6006, show_default=True, metavar="N")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS")
@click.option("--once", is_flag=True, help="Make the folder, say what is in it, and start nothing.")
@store_option
def tensorboard_command(
    specs: tuple[str, ...], logdir: str, port: int, host: str, once: bool, store: str | None
) -> None:
    """Show the scalars and profiles of SPECs, or of every experiment with results, in TensorBoard.

    The store is only read; what TensorBoard reads is a folder made from it, which is brought up to date every ten
    seconds until Ctrl-C. Traces of 'harness profile' are under PYTORCH_PROFILER.
    """
    place, folder = Store.at(store), Path(logdir).absolute()
    names = [find_experiment(spec).name for spec in specs] or None
    if folder == place.root or place.root in folder.parents:
        raise UserError(f"--logdir {logdir}: is in the store, which is only read; name another folder")
    view = _View(LogFolder(folder, place), names)
    first = view.update()
    if first.empty:
        of = f" of {', '.join(names)}" if names else ""
        raise UserError(
            f"the store {place.root} holds neither scalars nor profiles{of}; 'harness run' keeps scalars of trials "
            "that train, and 'harness profile' makes profiles"
        )
    click.echo(f"{logdir}: {_counted(first)}")
    if not once:
        _serve(view, folder, host, port)


class _View:
    """The folder, and what was said of it already."""

    def __init__(self, folder: LogFolder, experiments: Sequence[str] | None) -> None:
        self._folder, self._experiments = folder, experiments
        self._said: set[str] = set()

    def update(self) -> Update:
        """Bring the folder up to date, and name what is damaged, once.

        Raises:
            UserError: the folder cannot be written.
        """
        try:
            update = self._folder.update(self._experiments)
        except OSError as error:
            raise UserError(
                f"the folder {self._folder.folder} cannot be written ({error.strerror or error}); "
                "name another one with --logdir, or make room"
            ) from error
        for sentence in update.damaged:
            if sentence not in self._said:
                click.echo(f"left out: {sentence}", err=True)
        self._said.update(update.damaged)
        return update


def _counted(update: Update) -> str:
    def many(count: int, word: str) -> str:
        return f"{count} {word}" + ("" if count == 1 else "s")

    return (
        f"{many(update.runs, 'run')} with scalars, {many(update.profiles, 'profile')} "
        f"({update.written} written, {update.removed} removed)"
    )


def _serve(view: _View, folder: Path, host: str, port: int) -> None:
    """Run TensorBoard on the folder until it ends or is interrupted, and keep the folder up to date meanwhile.

    Raises:
        UserError: the address cannot be had, or TensorBoard does not start or ends by itself.
    """
    _require_free(host, port)
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--host", host, "--port", str(port)]
    with _ended_by_signal(), tempfile.TemporaryFile() as said:
        # Ctrl-C is for this process, which ends the other one; a terminal would send it to both.
        server = subprocess.Popen(command, stdout=said, stderr=said, stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            _wait_for_answer(server, host, port, said)
            click.echo(f"TensorBoard is at {_address(host, port)} (Ctrl-C ends it)")
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    status = server.wait(LOOK_SECONDS)
                    raise UserError(f"TensorBoard ended by itself with exit status {status}{_last_words(said)}")
                update = view.update()
                if update.written or update.removed:
                    click.echo(_counted(update))
        except KeyboardInterrupt:
            click.echo("ended")
        finally:
            _end(server)


def _require_free(host: str, port: int) -> None:
    try:
        kind, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise UserError(
            f"{_address(host, port)} cannot be had ({error.strerror}); "
            "name another port with --port, or another host with --host"
        ) from error


def _wait_for_answer(server: subprocess.Popen[bytes], host: str, port: int, said: IO[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise UserError(f"TensorBoard did not start (exit status {server.returncode}){_last_words(said)}")
        with contextlib.suppress(OSError), socket.create_connection((_reachable(host), port), timeout=1):
            return
        time.sleep(0.1)
    raise UserError(f"TensorBoard did not answer at {_address(host, port)} in {START_SECONDS:g} seconds")


def _reachable(host: str) -> str:
    """Return where a server that listens on a host answers: one on all of them answers here."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _last_words(said: IO[bytes]) -> str:
    said.seek(0)
    lines = said.read().decode(errors="replace").strip().splitlines()
    return f": {lines[-1].strip()[:300]}" if lines else ""


def _end(server: subprocess.Popen[bytes]) -> None:
    """Ask TensorBoard to end, and then make it, with the processes that its plugin may have left."""
    server.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(END_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


@contextlib.contextmanager
def _ended_by_signal() -> Iterator[None]:
    """Let the signal that service managers send do what Ctrl-C does."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
