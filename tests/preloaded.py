"""The command line in processes that have its libraries already: each call is a fork of one process that loaded them.

A call runs in a process of its own, in its own folder and environment, as if it had been started anew, but for the
second or more that loading pandas, SciPy and matplotlib takes. torch is not among what is loaded: the harness looks
whether it is.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

MODULES = (
    "pandas", "scipy.stats", "matplotlib.figure", "matplotlib.backends.backend_svg", "seaborn", "pyarrow.parquet", "rich.console",
    "harness.cli.main", "harness.cli.run_command", "harness.cli.plan_command", "harness.cli.status_command",
    "harness.cli.check_command", "reports.command", "reports.section", "reports.site", "reports.page", "reports.verify",
    "reports.export_command", "reports.sections",
)  # fmt: skip


def call(folder: Path, arguments: tuple[str, ...], environment: dict[str, str], timeout: float) -> tuple[int, str, str]:
    """Run ``python -m harness`` with arguments in a folder; return its exit status and what it wrote.

    Raises:
        subprocess.TimeoutExpired: it took longer than ``timeout`` seconds, and was killed.
    """
    with tempfile.TemporaryDirectory() as outputs, socket.socket(socket.AF_UNIX) as connection:
        connection.connect(_server())
        request = {"folder": str(folder), "arguments": arguments, "environment": environment, "outputs": outputs}
        data = json.dumps(request).encode()
        connection.sendall(struct.pack("!I", len(data)) + data)
        (pid,) = struct.unpack("!i", _received(connection, 4))
        connection.settimeout(timeout)
        try:
            (status,) = struct.unpack("!i", _received(connection, 4))
        except TimeoutError:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired(["harness", *arguments], timeout) from None
        out, err = (Path(outputs, name).read_text() for name in ("out", "err"))
        return status, out, err


@cache
def _server() -> str:
    """Start the process that has everything loaded, once a process of tests; return where it listens."""
    folder = tempfile.mkdtemp(prefix="harness-tests-")
    place = os.path.join(folder, "socket")
    # It ends when its standard input does, which is when this process ends, however that is.
    server = subprocess.Popen(
        [sys.executable, __file__, place], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert server.stdout is not None and server.stdin is not None
    assert server.stdout.readline() == b"ready\n"
    atexit.register(server.stdin.close)
    return place


def _received(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise ConnectionError("the process that runs the command line has gone")
        data += part
    return data


def _serve(place: str) -> None:
    for name in MODULES:
        __import__(name)
    parent = os.getppid()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(place)
    listening.listen(64)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    listening.settimeout(1.0)
    while os.getppid() == parent:
        try:
            connection, _ = listening.accept()
        except TimeoutError:
            continue
        if os.fork() == 0:
            listening.close()
            os._exit(_attend(connection))
        connection.close()
    os.unlink(place)
    os.rmdir(os.path.dirname(place))


def _attend(connection: socket.socket) -> int:
    """Start what was asked for in a process of its own, and tell how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    (size,) = struct.unpack("!I", _received(connection, 4))
    request = json.loads(_received(connection, size))
    pid = os.fork()
    if pid == 0:
        connection.close()
        _become(request)
    connection.sendall(struct.pack("!i", pid))
    _, ended = os.waitpid(pid, 0)
    with suppress(OSError):
        connection.sendall(struct.pack("!i", os.waitstatus_to_exitcode(ended)))
    return 0


def _become(request: dict[str, Any]) -> NoReturn:
    """Be ``python -m harness`` in the folder that was asked for."""
    for name, descriptor in (("out", 1), ("err", 2)):
        file = os.open(os.path.join(request["outputs"], name), os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(file, descriptor)
        os.close(file)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["harness", *request["arguments"]]
    sys.path.insert(0, request["folder"])
    status = 1
    try:
        from harness.cli.main import main

        main()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    # The folder of this file has rooms of tests that are called as the project's own rooms are.
    del sys.path[0]
    _serve(sys.argv[1])
