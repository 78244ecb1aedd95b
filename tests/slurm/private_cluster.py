"""A private, throw-away Slurm cluster for the tests: start-cluster.sh, stop-cluster.sh and a look at what runs in it.

Import it as ``from slurm.private_cluster import Cluster``: ``tests`` is on pytest's path, so that works in every test.
Several clusters can run at the same time, each with a folder, ports and a munge key of its own.
"""

from __future__ import annotations

import atexit
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import psutil
import pytest

HERE = Path(__file__).resolve().parent
BASE_PROGRAMS = (
    "munged", "mungekey", "munge", "unmunge", "slurmctld", "slurmd", "sinfo", "scontrol", "squeue", "scancel", "srun",
    "sbatch", "sacct",
)  # fmt: skip
ACCOUNTING_PROGRAMS = ("slurmdbd", "mariadbd")
INSTALL = "apt-get install --no-install-recommends slurmctld slurmd slurm-client munge"
INSTALL_ACCOUNTING = f"{INSTALL} slurmdbd mariadb-server-core"
PORT_TAKEN = 3  # start-cluster.sh's exit status
# Below the range that the kernel takes the ports of outgoing connections from, so that none of those gets in the way.
PORTS = range(20000, 32000)
# Variables by which a surrounding Slurm job, or a user's settings, would change what the commands do.
FOREIGN_VARIABLES = ("SLURM", "SBATCH_", "SRUN_", "SALLOC_", "SQUEUE_", "SINFO_", "SCANCEL_", "SACCT_")
STEPD = re.compile(r"slurmstepd: \[(\d+)\.(\w+)\]")


def missing_programs(*, accounting: bool = True) -> list[str]:
    """The names of the programs a cluster needs that this machine lacks; with accounting's unless told not to."""
    # Debian keeps daemons where an ordinary user's PATH does not look.
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    wanted = BASE_PROGRAMS + (ACCOUNTING_PROGRAMS if accounting else ())
    return [program for program in wanted if shutil.which(program, path=path) is None]


def require_slurm(*, accounting: bool = False) -> None:
    """Skip the calling test where Slurm is not installed, and say what to install; with REQUIRE_SLURM=1, fail it."""
    missing = missing_programs(accounting=accounting)
    if not missing:
        return
    install = INSTALL_ACCOUNTING if accounting else INSTALL
    message = f"Slurm is not installed here: no {', '.join(missing)} (Debian: {install})"
    if os.environ.get("REQUIRE_SLURM") == "1":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


@dataclass(frozen=True)
class Task:
    """A job, or one element of a job array, as squeue shows it."""

    array_job: int  # the array's id; of a job that is no array, its own
    index: int | None  # None where the job is no array
    state: str  # PENDING, RUNNING, COMPLETING, COMPLETED, CANCELLED, FAILED, TIMEOUT, NODE_FAIL, ...
    name: str
    reason: str  # why it does not run, e.g. Resources, BeginTime; or None, or how it failed
    job: int  # an element's own id: the array's id until the element starts, and for the array's last element


@dataclass
class Cluster:
    """A running private cluster. Start one with ``Cluster.start``; end it with ``stop``, or by leaving a with block."""

    folder: Path
    port: int
    accounting: bool
    nodes: int
    kill_wait: int
    environment: dict[str, str] = field(default_factory=dict)  # to be merged into os.environ for whoever calls Slurm
    stopped: bool = False
    owner: int = field(default_factory=os.getpid)

    @classmethod
    def start(
        cls,
        folder: Path | None = None,
        *,
        accounting: bool,
        nodes: int = 1,
        cpus: int = 8,
        memory: int = 64000,
        gpus: int = 0,
        max_array: int = 10001,
        kill_wait: int = 2,
        grace: int = 10,
        min_job_age: int = 300,
    ) -> Cluster:
        """Start a cluster and wait until it takes jobs.

        ``folder`` must be at most 80 characters long, for its sockets, and not hold a cluster yet; ``stop`` removes it.
        Without it, a new one is made. ``cpus``, ``memory`` (MB) and ``gpus`` are what each of the ``nodes`` (node1,
        node2, ...) pretends to have. ``kill_wait`` (s) lies between SIGTERM and SIGKILL; ``grace`` (s) is the least
        that lies between a preemption's signal and the requeue (the most is some 15 s); ``min_job_age`` (s) is how
        long ``squeue -t all`` shows an ended job. Raises RuntimeError with the ends of the logs if a daemon does not
        come up.
        """
        made = folder is None
        folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="hs-") if folder is None else folder).resolve()
        output = ""
        for _ in range(5):
            cluster = cls(
                folder, _free_ports(2 + nodes), accounting, nodes, kill_wait, {"SLURM_CONF": str(folder / "slurm.conf")}
            )
            # From here on an interrupted start is cleaned up too.
            atexit.register(cluster._stop_at_exit)
            settings = {
                "DIR": folder, "PORT": cluster.port, "NODES": nodes, "CPUS": cpus, "MEMORY": memory, "GPUS": gpus,
                "ACCOUNTING": "dbd" if accounting else "none", "MAX_ARRAY": max_array, "KILL_WAIT": kill_wait,
                "GRACE": grace, "MIN_JOB_AGE": min_job_age,
            }  # fmt: skip
            status, output = cluster._script("start-cluster.sh", settings)
            if status == 0:
                return cluster
            output += cluster._ends_of_logs()
            cluster.stop()
            if status != PORT_TAKEN:
                break
            # Somebody took a port between the look and the start: others may be tried, in a fresh folder.
            folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="hs-")) if made else folder
        raise RuntimeError(f"the private Slurm cluster did not start:\n{output}")

    def stop(self) -> None:
        """Cancel the jobs, stop the daemons, kill what is left and remove the folder. Does nothing the second time."""
        if self.stopped:
            return
        self.stopped = True
        atexit.unregister(self._stop_at_exit)
        self._script("stop-cluster.sh", {"DIR": self.folder, "TIMEOUT": 15 + self.kill_wait})
        for process in self._everything_left():
            _kill(process)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # ------------------------------------------------------------ commands

    def whole_environment(self) -> dict[str, str]:
        """``os.environ`` with this cluster's ``environment``, and without any other Slurm's variables."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_VARIABLES)}
        return kept | self.environment

    def run(self, *command: str, timeout: float = 30) -> subprocess.CompletedProcess[str]:
        """Run a command in this cluster's environment; its exit status is the caller's to look at."""
        return subprocess.run(
            command,
            env=self.whole_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def submit(self, *arguments: str) -> int:
        """``sbatch`` with these arguments: the job's id, which for an array is the array's. Raises if it is refused."""
        return int(self._answer("sbatch", "--parsable", *arguments).split(";")[0])

    def tasks(self, array_job: int | None = None) -> list[Task]:
        """Every job and array element that Slurm still knows, ended ones included, or those of one job.

        An element that was cancelled before it had ever started is not among them, unless all that was left of its
        array was cancelled with it. Raises RuntimeError where the controller does not answer.
        """
        tasks = []
        # The name comes last, for it may hold the separator.
        for line in self._answer("squeue", "-h", "-r", "-t", "all", "-o", "%F|%K|%A|%T|%r|%j").splitlines():
            array, index, job, state, reason, name = line.split("|", 5)
            tasks.append(Task(int(array), int(index) if index.isdecimal() else None, state, name, reason, int(job)))
        return [task for task in tasks if array_job is None or task.array_job == array_job]

    def states(self, array_job: int) -> dict[int | None, str]:
        """The state name of each known element of a job, by index (None where it is no array)."""
        return {task.index: task.state for task in self.tasks(array_job)}

    def no_jobs_left(self) -> bool:
        """Whether nothing waits, runs or is being ended."""
        return not self._answer("squeue", "-h", "-r").strip()

    def idle(self) -> bool:
        """Whether every node is up and has nothing to do."""
        return set(self._answer("sinfo", "-h", "-N", "-o", "%T").split()) == {"idle"}

    def wait_until(self, predicate: Callable[[], object], seconds: float, what: str = "") -> None:
        """Look every 0.1 s until the predicate is true. Raises AssertionError, with the queue, after ``seconds``."""
        end = time.monotonic() + seconds
        while not predicate():
            if time.monotonic() > end:
                queue = self.run("squeue", "-r", "-t", "all").stdout
                raise AssertionError(f"{what or 'what was waited for'} did not come true within {seconds} s\n{queue}")
            time.sleep(0.1)

    def clear(self) -> None:
        """Bring back daemons that are down, cancel every job, and wait until nothing runs and all nodes are idle."""
        self.start_controller()
        for node in self.node_names():
            self.start_node(node)
        self.run("scancel", "--me")

        def empty() -> bool:
            # Killed, a job ends at once, where scancel alone gives one that is deaf to SIGTERM several times KillWait.
            # srun is spared: slurmstepd would try for seconds to tell it of the end.
            for process, _ in self._processes_in_jobs():
                if _name(process) != "srun":
                    _kill(process)
            return self.no_jobs_left()

        try:
            self.wait_until(empty, self.kill_wait + 15)
        except AssertionError:
            # A job whose slurmstepd was killed stays until the node is asked what runs there.
            for process in self._stepds():
                _kill(process)
            self._restart_nodes()
            self.wait_until(self.no_jobs_left, 60, "an empty queue")
        for node in self.node_names():
            if self._node_state(node).startswith(("down", "drain")):
                self.run("scontrol", "update", f"NodeName={node}", "State=RESUME")
        self.wait_until(self.idle, 30, "an idle cluster")

    # ------------------------------------------------------------ daemons

    def stop_controller(self) -> None:
        """Stop slurmctld, which saves its state; does nothing if it is down."""
        self._end_daemon("slurmctld", "slurmctld")

    def start_controller(self) -> None:
        """Start slurmctld with its saved state and wait until it answers; does nothing if it is up."""
        if self._daemon("slurmctld", "slurmctld") is None:
            self._answer(_program("slurmctld"), "-f", self.environment["SLURM_CONF"])
        self.wait_until(lambda: self.run("scontrol", "ping").returncode == 0, 30, "an answer from slurmctld")

    def restart_controller(self) -> None:
        """Stop and start slurmctld. Jobs run on meanwhile."""
        self.stop_controller()
        self.start_controller()

    def node_names(self) -> list[str]:
        """node1, node2, ..."""
        return [f"node{number}" for number in range(1, self.nodes + 1)]

    def stop_node(self, node: str = "node1") -> None:
        """Stop a node's slurmd; does nothing if it is down. Its jobs run on, each under a slurmstepd of its own."""
        self._end_daemon("slurmd", f"slurmd-{node}")

    def start_node(self, node: str = "node1") -> None:
        """Start a node's slurmd and wait until it listens; does nothing if it is up."""
        if self._daemon("slurmd", f"slurmd-{node}") is not None:
            return
        self._answer(_program("slurmd"), "-N", node, "-f", self.environment["SLURM_CONF"])
        self.wait_until(lambda: self._daemon("slurmd", f"slurmd-{node}") is not None, 30, f"slurmd of {node}")
        self.wait_until(lambda: self._listens(self.port + 1 + int(node.removeprefix("node"))), 30, f"slurmd of {node}")

    def restart_node(self, node: str = "node1") -> None:
        """Stop and start a node's slurmd. Jobs run on meanwhile."""
        self.stop_node(node)
        self.start_node(node)

    # ------------------------------------------------------------ processes

    def job_processes(self, array_job: int, index: int | None = None) -> list[psutil.Process]:
        """The Python processes in a job, or in one element of an array; found without asking the controller."""
        return [
            process
            for process, variables in self._processes_in_jobs()
            if _is_python(process) and _is_of(variables, array_job, index)
        ]

    def left_processes(self) -> list[psutil.Process]:
        """The Python processes in any job of this cluster, orphans included."""
        return [process for process, _ in self._processes_in_jobs() if _is_python(process)]

    def stepd_processes(self, array_job: int, index: int | None = None) -> list[psutil.Process]:
        """The slurmstepd processes of a job or of one element: the batch script's, and one a node for each srun."""
        steps = self._stepds()
        # Their title holds an element's own id, and Slurm has overwritten their environment: what they run tells whose
        # they are, and the queue does for those that have not started anything yet.
        found = [step for step in steps if any(_is_of(child, array_job, index) for child in _children(step))]
        if len(found) < len(steps) and self.run("scontrol", "ping").returncode == 0:
            own = {
                task.job
                for task in self.tasks(array_job)
                if index is None or task.index == index
                if task.state != "PENDING"
            }
            found += [step for step in steps if step not in found and _stepd_job(step) in own]
        return found

    # ------------------------------------------------------------ inside

    def _answer(self, *command: str) -> str:
        """A command's output. Raises RuntimeError if it fails."""
        done = self.run(*command)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: exit status {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def _script(self, name: str, settings: dict[str, object]) -> tuple[int, str]:
        """Run one of the two scripts: its exit status and output."""
        variables = {f"HARNESS_SLURM_{key}": str(value) for key, value in settings.items()}
        ours = {key: value for key, value in self.whole_environment().items() if not key.startswith("HARNESS_SLURM_")}
        # Into a file: a daemon that kept hold of a pipe would make the reader wait for ever.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                ["bash", str(HERE / name)],
                env=ours | variables,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
            output.seek(0)
            return done.returncode, output.read()

    def _ends_of_logs(self) -> str:
        """The last lines of every daemon's log."""
        logs = sorted((self.folder / "log").glob("*.log"))
        return "".join(
            f"\n{log.name}:\n" + "\n".join(log.read_text(errors="replace").splitlines()[-5:]) for log in logs
        )

    def _stop_at_exit(self) -> None:
        """``stop``, but not in a process that was forked from the one that started the cluster."""
        if os.getpid() == self.owner:
            self.stop()

    def _daemon(self, name: str, pid_file: str) -> psutil.Process | None:
        """The live daemon of that name that a pid file names, if there is one."""
        try:
            process = psutil.Process(int((self.folder / "run" / f"{pid_file}.pid").read_text()))
            alive = process.name() == name and process.status() != psutil.STATUS_ZOMBIE
        except (OSError, ValueError, psutil.Error):
            return None
        return process if alive else None

    def _end_daemon(self, name: str, pid_file: str) -> None:
        """End a daemon and wait until it is gone."""
        process = self._daemon(name, pid_file)
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        end = time.monotonic() + 30
        # Not process.wait(): a daemon whose parent does not reap it would stay as a zombie.
        while self._daemon(name, pid_file) is not None:
            if time.monotonic() > end:
                process.kill()
            time.sleep(0.05)

    def _restart_nodes(self) -> None:
        for node in self.node_names():
            self.restart_node(node)

    def _node_state(self, node: str) -> str:
        return self._answer("sinfo", "-h", "-n", node, "-p", "test", "-o", "%T").strip()

    @staticmethod
    def _listens(port: int) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    def _processes_in_jobs(self) -> Iterator[tuple[psutil.Process, dict[str, str]]]:
        """Every process of this cluster's jobs with its environment."""
        for process in psutil.process_iter():
            variables = _variables(process)
            if variables.get("SLURM_CONF") == self.environment["SLURM_CONF"] and "SLURM_JOB_ID" in variables:
                yield process, variables

    def _stepds(self) -> list[psutil.Process]:
        """This cluster's slurmstepd processes, which work in its log folder."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.name() == "slurmstepd" and Path(process.cwd()).is_relative_to(self.folder):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def _everything_left(self) -> list[psutil.Process]:
        """Every process that belongs to this cluster, but for this one and those that it was started from."""
        spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
        found = self._stepds()
        for process in psutil.process_iter():
            try:
                named = any(str(self.folder) in argument for argument in process.cmdline())
            except psutil.Error:
                continue
            if named or _variables(process).get("SLURM_CONF") == self.environment["SLURM_CONF"]:
                found.append(process)
        return [process for process in found if process.pid not in spared]


def _free_ports(count: int) -> int:
    """The first of ``count`` consecutive TCP ports that nobody listens on. Raises RuntimeError if none are found."""
    chance = random.Random()  # of its own, for pytest plugins seed the shared one alike in every worker
    for _ in range(100):
        first = chance.randrange(PORTS.start, PORTS.stop - count)
        if all(_is_free(port) for port in range(first, first + count)):
            return first
    raise RuntimeError(f"no {count} free TCP ports in a row from {PORTS.start} to {PORTS.stop}")


def _is_free(port: int) -> bool:
    with socket.socket() as server:
        try:
            server.bind(("", port))
        except OSError:
            return False
    return True


def _program(name: str) -> str:
    """The path of a daemon, which may lie where PATH does not look."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])) or name


def _variables(process: psutil.Process) -> dict[str, str]:
    """The environment a process was started with; empty if it has gone or is another user's."""
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}


def _is_of(variables: dict[str, str], array_job: int, index: int | None) -> bool:
    """Whether a process with this environment runs in that job, and in that element of it."""
    if variables.get("SLURM_ARRAY_JOB_ID", variables.get("SLURM_JOB_ID")) != str(array_job):
        return False
    return index is None or variables.get("SLURM_ARRAY_TASK_ID") == str(index)


def _name(process: psutil.Process) -> str:
    """The name of a process; empty if it has gone."""
    try:
        return process.name()
    except psutil.Error:
        return ""


def _is_python(process: psutil.Process) -> bool:
    try:
        return Path(process.exe()).name.startswith("python")
    except (psutil.Error, OSError):
        return False


def _children(process: psutil.Process) -> list[dict[str, str]]:
    """The environments of what a process has started."""
    try:
        return [_variables(child) for child in process.children()]
    except psutil.Error:
        return []


def _stepd_job(process: psutil.Process) -> int | None:
    """The job id in a slurmstepd's title."""
    try:
        title = STEPD.match(" ".join(process.cmdline()))
    except psutil.Error:
        return None
    return int(title[1]) if title else None


def _kill(process: psutil.Process) -> None:
    """Kill a process and wait until it is gone; nothing to do if it is gone already."""
    try:
        process.kill()
        end = time.monotonic() + 5
        # Not process.wait(): where process 1 reaps nothing, an orphan stays as a zombie.
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < end:
            time.sleep(0.01)
    except psutil.Error:
        pass
