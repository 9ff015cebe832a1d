"""Owns a Slurm of our own on this machine: munged, one controller, a few node daemons, all on loopback.

For a demonstration and for tests: it needs Debian's packages `slurm-wlm` and `munge`, but neither root nor systemd, and
everything it keeps lies in one folder. Settings follow Slurm's slurm.conf(5); a node is a daemon, not a machine.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import psutil

from agent.errors import NodeUnfit

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel")
READY_S = 30.0
END_S = 10.0
NODE_LOST_S = 10
"""After which the controller counts a silent node as down."""
KILL_WAIT_S = 8
"""Between asking a job to end and killing it."""


class Cluster:
    """Running between the `with` statement's begin and end. Its clients are called with `environment`."""

    def __init__(
        self,
        folder: Path,
        *,
        nodes: int = 2,
        cores: int = 4,
        memory_mib: int = 8192,
        licenses: str = "vlm:4",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """`folder`: of its own, with a path short enough for sockets. Each node is said to have `cores` and
        `memory_mib`, whatever this machine has; `licenses` as slurm.conf writes them. `settings` of slurm.conf take
        the place of ours, an empty one leaves it out."""
        folder = folder.resolve()
        self.folder, self._licenses, self._settings = folder, licenses, dict(settings or {})
        self._nodes = [f"node{number}" for number in range(1, nodes + 1)]
        self._shape = f"CPUs={cores} RealMemory={memory_mib} Gres=blender:{cores}"
        self._ports = _free_ports(nodes + 1)
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"), "PATH": _path()}
        for name in ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"):
            self.environment.pop(name, None)

    def __enter__(self) -> Cluster:
        refuse_missing_programs()
        try:
            self._configure()
            self._start_munged()
            self.start("slurmctld")
            for node in self._nodes:
                self.start(node)
            self.wait_for_nodes()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def nodes(self) -> list[str]:
        return list(self._nodes)

    def start(self, daemon: str) -> None:
        """The controller ("slurmctld"), or a node by its name, anew."""
        own = ["slurmctld", "-D"] if daemon == "slurmctld" else ["slurmd", "-D", "-N", daemon]
        with open(self.folder / f"{daemon}.out", "ab") as output:
            self._daemons[daemon] = subprocess.Popen(
                own, env=self.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=self.folder
            )

    def wait_for_nodes(self) -> None:
        """Until every node can take jobs."""
        self._wait_until(self._is_ready, "its nodes are not ready")

    def kill_node(self, node: str, *, with_jobs: bool = True) -> None:
        """End a node's daemon as a crash would; `with_jobs`: as a machine that loses power, else its jobs go on."""
        daemon = self._daemons.pop(node)
        daemon.kill()
        daemon.wait(END_S)
        _kill([*self._steps(node), *(self.job_processes(node) if with_jobs else ())])

    def job_processes(self, node: str = "") -> list[psutil.Process]:
        """What runs of jobs now, on all nodes or one, wherever its parents are; not what hides its environment."""
        conf = str(self.folder / "slurm.conf")

        def is_one(environment: dict[str, str]) -> bool:
            ours = environment.get("SLURM_CONF") == conf and "SLURM_JOB_ID" in environment
            return ours and node in ("", environment.get("SLURMD_NODENAME"))

        return [process for process in psutil.process_iter() if is_one(_environment(process))]

    def _steps(self, node: str = "") -> list[psutil.Process]:
        """What a node's daemon starts for each job, and leaves behind when it ends."""
        return [
            each for each in psutil.process_iter() if _step_of(each, self.folder) in ((node,) if node else self._nodes)
        ]

    def call(self, *command: str, timeout_s: float = 30.0) -> str:
        """One of Slurm's clients; what it printed. Raises CalledProcessError."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=timeout_s, check=True
        )
        return done.stdout.strip()

    def _configure(self) -> None:
        host, user = socket.gethostname().split(".")[0], getpass.getuser()
        for name in ("state", "spool"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        nodes = [
            f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} {self._shape} State=UNKNOWN"
            for node, port in zip(self._nodes, self._ports[1:], strict=True)
        ]
        text = _CONF.format(
            host=host,
            user=user,
            folder=self.folder,
            port=self._ports[0],
            licenses=self._licenses,
            nodes="\n".join(nodes),
            node_lost_s=NODE_LOST_S,
            kill_wait_s=KILL_WAIT_S,
        )
        own = [f"{name}={value}" for name, value in self._settings.items() if value]
        kept = [line for line in text.splitlines() if line.partition("=")[0] not in self._settings]
        (self.folder / "slurm.conf").write_text("\n".join([*own, *kept]) + "\n")
        (self.folder / "gres.conf").write_text("")
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")

    def _start_munged(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o600)
        files = {name: self.folder / f"munge.{name}" for name in ("socket", "pid", "seed", "log")}
        names = {"socket": "--socket", "pid": "--pid-file", "seed": "--seed-file", "log": "--log-file"}
        places = [f"{names[name]}={file}" for name, file in files.items()]
        command = ["munged", "--foreground", "--force", f"--key-file={key}", *places]
        with open(self.folder / "munged.out", "ab") as output:
            self._daemons["munged"] = subprocess.Popen(
                command, env=self.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        self._wait_until(files["socket"].exists, "munged does not start")

    def _is_ready(self) -> bool:
        try:
            states = self.call("sinfo", "--noheader", "--Node", "--format=%T", timeout_s=5).split()
        except subprocess.SubprocessError:
            return False
        return len(states) == len(self._nodes) and all(state in ("idle", "mixed", "allocated") for state in states)

    def _wait_until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + READY_S
        while not condition():
            ended = next((name for name, each in self._daemons.items() if each.poll() is not None), "")
            if ended or time.monotonic() > deadline:
                raise NodeUnfit(f"the Slurm in {self.folder} does not work: {ended or what}.", self._last_words(ended))
            time.sleep(0.05)

    def _last_words(self, daemon: str) -> str:
        logs = [self.folder / f"{daemon}.out"] if daemon else sorted(self.folder.glob("*.out"))
        return " ".join(log.read_text(errors="replace").strip()[-300:] for log in logs if log.exists())

    def stop(self, *daemons: str) -> None:
        """Ask daemons to end, those of them that run."""
        ending = [self._daemons.pop(name) for name in daemons if name in self._daemons]
        for daemon in ending:
            daemon.terminate()
        for daemon in ending:
            try:
                daemon.wait(END_S)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait(END_S)

    def _end(self) -> None:
        """The nodes, so that nothing new begins, then the jobs, then the controller, then munged."""
        self.stop(*self._nodes)
        _kill([*self._steps(), *self.job_processes()])
        self.stop("slurmctld")
        self.stop("munged")


def refuse_missing_programs() -> None:
    """Raises NodeUnfit where Slurm is not installed."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]
    if missing:
        remedy = "Install them: apt-get install --no-install-recommends slurm-wlm munge"
        raise NodeUnfit(f"Slurm is not installed here: there is no {', '.join(missing)}.", remedy)


def _path() -> str:
    """Daemons lie where ordinary users do not look."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def _free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    try:
        for each in held:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}


def _step_of(process: psutil.Process, folder: Path) -> str:
    """The node whose daemon started it for a job; such a process shows neither arguments nor environment, but stands in
    the cluster's folder and writes its node's log."""
    with contextlib.suppress(psutil.Error, OSError):
        if process.name() == "slurmstepd" and process.cwd() == str(folder):
            for file in process.open_files():
                if found := re.fullmatch(r"slurmd-(.+)\.log", Path(file.path).name):
                    return found[1]
    return ""


def _kill(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(processes, END_S)


_CONF = """\
ClusterName=seig
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/jobs.txt
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=blender
Licenses={licenses}
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1
SlurmctldTimeout=10
SlurmdTimeout={node_lost_s}
InactiveLimit=0
KillWait={kill_wait_s}
MinJobAge=300
ReturnToService=2
RequeueExit=75
{nodes}
PartitionName=farm Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
