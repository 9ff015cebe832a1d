"""Owns pyzmq and msgpack for Blender's own Python: in a private folder per Python version, never inside Blender.

Fetched from the package index by pinned version and hash, or from the wheel folder that SEIG_WHEELS names.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from protocol.errors import SetupFailed
from sandbox.folders import REQUIREMENTS, readable_folders, state_folder

INSTALL_S = 300.0
_DONE = ".complete"
_OFFLINE = (
    "On a machine without a network, set SEIG_WHEELS to a folder with the wheels; to fill one elsewhere: "
    "pip download --no-deps --only-binary=:all: --python-version {python} --require-hashes -r {lock} -d FOLDER"
)


def vendor_folder(python: str) -> Path:
    """Where pyzmq and msgpack for that Python are, or would be put. Nothing is fetched."""
    name = Path("vendor") / _tag(python)
    digest = _digest(lock_file(python))
    ready = [folder / name for folder in readable_folders() if _is_complete(folder / name, digest)]
    return ready[0] if ready else state_folder() / name


def is_provided(python: str) -> bool:
    """Whether they are there already."""
    return _is_complete(vendor_folder(python), _digest(lock_file(python)))


def provide(python: str) -> Path:
    """Make sure they are there; two processes at once end with one good folder."""
    lock = lock_file(python)
    folder, digest = vendor_folder(python), _digest(lock)
    if _is_complete(folder, digest):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder.parent / f"{folder.name}.lock"):
        if not _is_complete(folder, digest):
            _replace(folder, python, lock, digest)
    return folder


def lock_file(python: str) -> Path:
    """The pinned versions for that Python: one file for all but those that the newest versions left behind."""
    own = REQUIREMENTS / f"vendor-{_tag(python)}.txt"
    return own if own.is_file() else REQUIREMENTS / "vendor.txt"


def _tag(python: str) -> str:
    return "cp" + "".join(python.split(".")[:2])


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


def _replace(folder: Path, python: str, lock: Path, digest: str) -> None:
    """Fill a folder beside it, then rename: whoever looks sees the old, none or all, never a half."""
    fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _install(fresh, python, lock)
        (fresh / _DONE).write_text(digest, encoding="ascii")
        fresh.chmod(0o755)
        if folder.exists():
            os.replace(folder, aside := Path(tempfile.mkdtemp(prefix=".old-", dir=folder.parent)) / "old")
            shutil.rmtree(aside.parent, ignore_errors=True)
        os.replace(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _install(target: Path, python: str, lock: Path) -> None:
    wheels = os.environ.get("SEIG_WHEELS")
    remedy = _OFFLINE.format(python=python, lock=lock)
    if wheels and not Path(wheels).is_dir():
        raise SetupFailed(f"SEIG_WHEELS names {wheels}, which is no folder.", remedy)
    source = ["--no-index", "--find-links", wheels] if wheels else []
    command = [*_installer(python), "--no-deps", "--require-hashes", *source, "--target", str(target), "-r", str(lock)]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=INSTALL_S, check=False)
    except subprocess.TimeoutExpired as error:
        reason = f"pyzmq and msgpack for Python {python} were not installed within {INSTALL_S:g} s."
        raise SetupFailed(reason, remedy) from error
    if done.returncode != 0:
        tail = done.stderr.decode(errors="replace")[-2000:]
        raise SetupFailed(f"pyzmq and msgpack for Blender's Python {python} cannot be had.", remedy, log_tail=tail)


def _installer(python: str) -> list[str]:
    """pip of our own environment, or uv where there is none; either installs for another Python than its own."""
    if importlib.util.find_spec("pip") is not None:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
        return [*pip, "--no-compile", "--only-binary=:all:", "--implementation", "cp", "--python-version", python]
    if (uv := shutil.which("uv")) is not None:
        return [uv, "pip", "install", "--quiet", "--only-binary", ":all:", "--python-version", python]
    raise SetupFailed(
        "Neither pip nor uv is there to install pyzmq and msgpack for Blender.", "Install pip: make setup"
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
