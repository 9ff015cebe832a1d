"""Owns pyzmq and msgpack for Blender's own Python: in a private folder per Python version and machine, never inside
Blender nor among the user's own packages.

Taken, by pinned version and hash, from the wheel folder that SEIG_WHEELS names or from the package index; where that
Python can import both already, nothing is fetched.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from protocol.errors import SetupFailed
from sandbox import package_source
from sandbox.folders import REQUIREMENTS, readable_folders, state_folder

INSTALL_S = 300.0
WORKING = {"zmq": (22,), "msgpack": (1,)}
"""Modules and the oldest versions that are known to work, for a Blender whose Python brings its own."""

_DONE = ".complete"


def vendor_folder(python: str, machine: str, libraries: Mapping[str, str]) -> Path | None:
    """Where pyzmq and msgpack for that Python are, or would be put; None where it needs none. Nothing is fetched.

    `machine` is that Python's own sysconfig.get_platform(), `libraries` what it can import by itself: name → version.
    """
    if (ready := _ready(python, machine)) is not None:
        return ready
    if _importable(libraries) and package_source.wheel_folder() is None:
        return None
    return state_folder() / _name(python, machine)


def is_provided(python: str, machine: str, libraries: Mapping[str, str]) -> bool:
    """Whether a Blender can be started without anything being fetched."""
    return _importable(libraries) or _ready(python, machine) is not None


def provide(python: str, machine: str, libraries: Mapping[str, str]) -> Path | None:
    """Make sure they are there, as vendor_folder says; two processes at once end with one good folder.

    SetupFailed where they cannot be had."""
    folder = vendor_folder(python, machine, libraries)
    if folder is None:
        return None
    try:
        _fill(folder, python, machine)
    except SetupFailed:
        if _importable(libraries):
            return None
        raise
    return folder


def lock_file(python: str) -> Path:
    """The pinned versions for that Python: one file for all but those that the newest versions left behind."""
    own = REQUIREMENTS / f"vendor-{_tag(python)}.txt"
    return own if own.is_file() else REQUIREMENTS / "vendor.txt"


def _importable(libraries: Mapping[str, str]) -> bool:
    return all(_numbers(libraries.get(name, "")) >= oldest for name, oldest in WORKING.items())


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _ready(python: str, machine: str) -> Path | None:
    name, digest = _name(python, machine), _digest(lock_file(python))
    return next((folder / name for folder in readable_folders() if _is_complete(folder / name, digest)), None)


def _name(python: str, machine: str) -> Path:
    return Path("vendor") / "-".join((_tag(python), *_system_and_processor(machine)))


def _tag(python: str) -> str:
    return "cp" + "".join(python.split(".")[:2])


def _system_and_processor(machine: str) -> tuple[str, str]:
    """ "linux-x86_64" → linux, x86_64; "macosx-11.0-arm64" → macosx, arm64. What runs on both runs as this machine, and
    what was not told is as ours."""
    system, _, processor = (machine or sysconfig.get_platform()).partition("-")
    processor = processor.rpartition("-")[2]
    return system, platform.machine() if processor == "universal2" else processor


def _digest(lock: Path) -> str:
    try:
        return hashlib.sha256(lock.read_bytes()).hexdigest()
    except OSError as error:
        raise SetupFailed(f"The list of pinned packages {lock} cannot be read ({error.strerror}).") from error


def _is_complete(folder: Path, digest: str) -> bool:
    try:
        return (folder / _DONE).read_text(encoding="ascii").strip() == digest
    except OSError:
        return False


def _fill(folder: Path, python: str, machine: str) -> None:
    lock = lock_file(python)
    digest = _digest(lock)
    if _is_complete(folder, digest):
        return
    whose = f"for Blender's Python {python} on {'-'.join(_system_and_processor(machine))}"
    command = [*_installer(python, machine), "--no-deps", "--require-hashes", *_source(), "-r", str(lock)]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder.parent / f"{folder.name}.lock"):
        if not _is_complete(folder, digest):
            _replace(folder, digest, partial(_install, command, whose))


def _replace(folder: Path, digest: str, install: Callable[[Path], None]) -> None:
    """Fill a folder beside it, then rename: whoever looks sees the old, none or all, never a half."""
    fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        install(fresh)
        (fresh / _DONE).write_text(digest, encoding="ascii")
        fresh.chmod(0o755)
        if folder.exists():
            os.replace(folder, aside := Path(tempfile.mkdtemp(prefix=".old-", dir=folder.parent)) / "old")
            shutil.rmtree(aside.parent, ignore_errors=True)
        os.replace(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _install(command: list[str], whose: str, target: Path) -> None:
    remedy = package_source.way_out()
    try:
        done = subprocess.run(
            [*command, "--target", str(target)],
            env=package_source.pip_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=INSTALL_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SetupFailed(f"pyzmq and msgpack {whose} were not installed within {INSTALL_S:g} s.", remedy) from error
    if done.returncode != 0:
        wheels = package_source.wheel_folder()
        where = f"in {wheels}" if wheels else "from the package index"
        tail = done.stderr.decode(errors="replace")[-2000:]
        raise SetupFailed(f"pyzmq and msgpack {whose} cannot be had {where}.", remedy, log_tail=tail)


def _source() -> list[str]:
    try:
        return package_source.pip_options()
    except NotADirectoryError as error:
        raise SetupFailed(str(error), package_source.way_out()) from error


def _installer(python: str, machine: str) -> list[str]:
    """pip of our own environment, or uv where there is none; either installs for another Python than its own."""
    foreign = _foreign_processor(machine)
    if importlib.util.find_spec("pip") is not None:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
        pip += ["--no-cache-dir", "--no-compile", "--only-binary=:all:", "--implementation", "cp"]
        return [*pip, "--python-version", python, *(["--platform", f"macosx_11_0_{foreign}"] if foreign else [])]
    if (uv := shutil.which("uv")) is not None:
        uv_pip = [uv, "pip", "install", "--quiet", "--no-cache", "--only-binary", ":all:", "--python-version", python]
        processor = foreign.replace("arm64", "aarch64")
        return [*uv_pip, *(["--python-platform", f"{processor}-apple-darwin"] if foreign else [])]
    raise SetupFailed(
        "Neither pip nor uv is there to install pyzmq and msgpack for Blender.", "Install pip: make setup"
    )


def _foreign_processor(machine: str) -> str:
    """That of a Blender made for another one than our own Python is, as an Intel one on Apple silicon; else nothing."""
    theirs, ours = map(_system_and_processor, (machine, sysconfig.get_platform()))
    if theirs == ours:
        return ""
    if theirs[0] == ours[0] == "macosx":
        return theirs[1]
    raise SetupFailed(
        f"This Blender is made for {'-'.join(theirs)}, and this program runs as {'-'.join(ours)}.",
        "Use a Blender made for this machine: BLENDER=/path/to/blender",
    )


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time; the lock ends with its holder, however that ends."""
    with path.open("a") as file:
        try:
            import fcntl
        except ImportError:  # Windows: the rename alone keeps the folder whole
            yield
            return
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
