"""Owns the proof that a level holds on this machine, now: a real child, started as a Blender would be, that tries.

What it tries: `attempts`; what it tries it on: `canaries`.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from protocol.errors import SetupFailed
from protocol.models import Value
from sandbox.confinement import bubblewrap, cgroup, confining, paths
from sandbox.confinement.canaries import Canaries
from sandbox.confinement.levels import Level
from sandbox.limits import Limits

PROBE_S = 20.0
_ATTEMPTS = Path(__file__).with_name("attempts.py")
_SHUTTING = paths.REPOSITORY / "blender_server" / "shutting.py"


class Probe(Value):
    """One thing that was tried at one level."""

    name: str
    level: Level
    passed: bool
    """What must be stopped was stopped, or what must work did. The level holds when all its probes have passed."""
    stopped: bool = False
    """Whether it was stopped; a lower level need not."""
    detail: str
    """What happened, or is known not to be stopped."""
    remedy: str = ""
    """What to install or to allow, where that would help."""


class Reach(Value):
    """What was found of all levels."""

    probes: tuple[Probe, ...]

    def of(self, level: Level) -> tuple[Probe, ...]:
        return tuple(probe for probe in self.probes if probe.level == level)

    def holds(self, level: Level) -> bool:
        return all(probe.passed for probe in self.of(level))

    def best(self) -> Level:
        return max(level for level in Level if self.holds(level))


WORKS = "write to its own folder"


class _Question(NamedTuple):
    attempt: str
    name: str
    since: Level = Level.CONFINED
    """The first level that must stop it."""


_QUESTIONS = (
    _Question("environment", "read another process's environment"),
    _Question("parent's environment", "read the agent's environment"),
    _Question("memory", "open another process's memory"),
    _Question("trace", "trace another process"),
    _Question("signal", "signal another process"),
    _Question("limits", "change another process's limits"),
    _Question("home", "read a file in home"),
    _Question("run folder", "read a file in a run folder"),
    _Question("accounts", "read /etc/passwd"),
    _Question("kernel settings", "open the kernel's settings for writing"),
    _Question("write", "write outside its folder"),
    _Question("mode", "change the mode of a file outside"),
    _Question("truncate", "cut off a file outside"),
    _Question("tcp", "connect over TCP"),
    _Question("udp", "send over UDP"),
    _Question("user namespace", "make a user namespace"),
    _Question("abstract socket", "connect to an abstract UNIX socket"),
    _Question("path socket", "connect to a UNIX socket outside its folder"),
    _Question("see", "see that another process exists", Level.SANDBOXED),
)


@functools.cache
def reach() -> Reach:
    """All levels and what became of their probes; asked once per process."""
    probes = [Probe(name="start a process", level=Level.PROCESS, passed=True, detail="always")]
    for level in (Level.TREE, Level.CONFINED, Level.SANDBOXED):
        try:
            confining.require(level)
        except SetupFailed as missing:
            probes.append(_not_started(level, str(missing), missing.remedy))
            continue
        probes += [_tree()] if level == Level.TREE else try_out(level)
    return Reach(probes=tuple(probes))


def best() -> Level:
    """The highest level that holds."""
    return reach().best()


def _tree() -> Probe:
    group = cgroup.make(Limits())
    found = "control groups bound it: " + ", ".join(map(str, group.folders)) if group else "no control group, a watch"
    if group:
        group.remove()
    return Probe(name="watch over a tree of processes", level=Level.TREE, passed=True, detail=found)


def try_out(level: Level) -> list[Probe]:
    """Everything there is to try, at one level. Of those below L2 it tells only what they don't stop."""
    with Canaries() as canaries:
        done = _run(level, canaries)
        try:
            said = json.loads(done.stdout.decode(errors="replace").splitlines()[-1])
        except (IndexError, ValueError):
            words = done.stderr.decode(errors="replace").strip()
            return [_not_started(level, words or f"exit code {done.returncode}", _remedy(level, words))]
        touched = canaries.touched({attempt for attempt, outcome in said.items() if not outcome.startswith("!")})
        works = said["own folder"] == "written"
        found = [Probe(name=WORKS, level=level, passed=works, detail=said["own folder"])]
        return found + [_judge(level, question, said[question.attempt], touched, canaries) for question in _QUESTIONS]


def _run(level: Level, canaries: Canaries) -> subprocess.CompletedProcess[bytes]:
    python = Path(sys.executable)
    read = [*paths.of_python(python), *paths.OURS]
    targets = canaries.targets | {"shutting": str(_SHUTTING) if level == Level.CONFINED else ""}
    confinement = confining.confine(level, read, canaries.folder, Limits())
    source = _ATTEMPTS.read_text(encoding="utf-8")
    command = confinement.command([str(python), "-I", "-S", "-c", source, json.dumps(targets)])
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}
    try:
        return subprocess.run(
            command,
            cwd=canaries.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            pass_fds=confinement.pass_fds,
            start_new_session=True,
            timeout=PROBE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, b"", str(error)[-200:].encode())
    finally:
        confinement.kill()
        confinement.close()


def _judge(level: Level, question: _Question, said: str, touched: set[str], canaries: Canaries) -> Probe:
    """Denied is what raised an error or got nothing of ours, and left no mark."""
    reads = question.attempt in ("environment", "parent's environment", "home", "run folder", "accounts")
    got = _is_ours(question.attempt, said, canaries) if reads else not said.startswith("!")
    # Behind a wall of its own /tmp or process numbers it may "succeed" at something that is not ours.
    if question.attempt in _SEEN_OUTSIDE:
        got = question.attempt in touched
    expected = level < question.since and got
    words = "not stopped, as documented" if expected else "NOT STOPPED" if got else f"stopped: {said[:80].lstrip('!')}"
    passed = expected or not got
    return Probe(name=question.name, level=level, passed=passed, stopped=not got, detail=words)


_SEEN_OUTSIDE = {"write", "mode", "truncate", "signal", "limits", "tcp", "udp", "abstract socket", "path socket"}


def _is_ours(attempt: str, said: str, canaries: Canaries) -> bool:
    if said.startswith("!"):
        return False
    if attempt == "parent's environment":
        own = Path("/proc/self/environ").read_bytes()[:65536].decode("latin-1")
        return said == own
    return canaries.secret in said or attempt == "accounts"


def _not_started(level: Level, reason: str, remedy: str) -> Probe:
    return Probe(name=f"start a process at {level}", level=level, passed=False, detail=reason[-400:], remedy=remedy)


def _remedy(level: Level, said: str) -> str:
    """What usually stands in the way, by what bubblewrap or the launcher said."""
    if level != Level.SANDBOXED or bubblewrap.find() is None:
        return confining.LANDLOCK_REMEDY
    if _setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1" and os.getuid() != 0:
        return (
            "AppArmor keeps users from making namespaces: give bwrap a profile that allows `userns`, or "
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
        )
    if _setting("/proc/sys/kernel/unprivileged_userns_clone") == "0":
        return "The kernel keeps users from making namespaces: sysctl -w kernel.unprivileged_userns_clone=1"
    if _setting("/proc/sys/user/max_user_namespaces") == "0":
        return "The kernel allows no user namespace: sysctl -w user.max_user_namespaces=15000"
    if os.path.exists("/.dockerenv") or os.path.exists("/run/.containerenv") or "Operation not permitted" in said:
        return (
            "A container is around us that forbids namespaces: start it with --security-opt seccomp=unconfined "
            "--security-opt systempaths=unconfined (and apparmor=unconfined), or be content with L2."
        )
    return "See what bubblewrap said; `bwrap --unshare-all --ro-bind / / true` shows it by hand."


def _setting(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
