"""Owns the lists of what a confined Blender may read: the system's libraries, its installation, our half of the wire.

Narrow lists of what is allowed. Not on them: homes, run folders, the snapshot store, /etc/passwd, the repository but
for what runs inside Blender. How they are enforced: `landlock`, `bubblewrap`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from sandbox.discovery import Blender

REPOSITORY = Path(__file__).resolve().parent.parent.parent
OURS = (REPOSITORY / "blender_server", REPOSITORY / "protocol")

_PREFIXES = ("/usr", "/usr/local")
SYSTEM = (
    *(
        f"{prefix}/{name}"
        for prefix in _PREFIXES
        for name in ("bin", "lib", "lib32", "lib64", "libexec", "sbin", "share")
    ),
    *("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store", "/gnu/store"),
)
"""Not all of /usr: container images keep what they run in /usr/src."""
SETTINGS = tuple(
    f"/etc/{name}"
    for name in (
        "alternatives", "drirc", "fonts", "glvnd", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime",
        "vulkan", "OpenCL",
    )
)  # fmt: skip
"""Of the machine, what the loader, fonts and graphics drivers read."""

PROC = tuple(
    f"/proc/{name}"
    for name in (
        "cpuinfo", "filesystems", "loadavg", "meminfo", "stat", "uptime", "version", "sys/vm/overcommit_memory",
        "sys/vm/nr_hugepages", "sys/vm/mmap_min_addr", "sys/kernel/osrelease",
    )
)  # fmt: skip
"""Of /proc, for a Blender without a /proc of its own."""
PROC_OWN = ("cgroup", "cmdline", "environ", "fd", "maps", "stat", "statm", "status")
"""Of its own folder there. Not `net` (nor `task`, which holds one too): it lists every socket of the machine."""
SYS = ("/sys/devices/system/cpu", "/sys/devices/system/node", "/sys/kernel/mm/transparent_hugepage")
"""How many processors there are and where their memory is."""
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")

GPU_DEVICES = ("/dev/dri", "/dev/kfd", "/dev/nvidia-caps", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools",
               "/dev/nvidia-modeset", "/dev/nvidiactl")  # fmt: skip
GPU_READ = ("/sys/dev/char", "/sys/devices", "/sys/class/drm", "/sys/class/kfd", "/sys/bus/pci", "/sys/module/nvidia",
            "/sys/module/amdgpu", "/proc/driver/nvidia", "/proc/devices", "/proc/modules", "/etc/nvidia",
            "/usr/local/cuda", "/usr/local/nvidia", "/opt/rocm")  # fmt: skip


def of_blender(blender: Blender) -> list[Path]:
    """What the Blender itself consists of, our server and its libraries included."""
    own = of_python(blender.executable) if blender.kind == "wheel" else _of_binary(blender)
    vendor = [blender.vendor] if blender.vendor else []
    return _once([*own, *map(Path, blender.facts.parts), *vendor, *OURS, *_library_folders()])


def of_python(executable: Path) -> list[Path]:
    """An interpreter: its environment, and the installation that the environment was made from."""
    environment = executable.parent.parent
    settings = environment / "pyvenv.cfg"
    if not settings.is_file():
        return _once(_installations(executable))
    based_on = [line.partition("=")[2].strip() for line in settings.read_text().splitlines() if _names_home(line)]
    return _once([environment, *(Path(home).parent for home in based_on), *_installations(executable)])


def gpu_devices(asked: Iterable[str] = ()) -> list[str]:
    """The device files of all GPUs, and those that were asked for besides."""
    numbered = [str(path) for path in sorted(Path("/dev").glob("nvidia[0-9]*"))]
    return [path for path in (*GPU_DEVICES, *numbered, *asked) if os.path.exists(path)]


def existing(paths: Iterable[str]) -> list[str]:
    return [path for path in paths if os.path.lexists(path)]


def _names_home(line: str) -> bool:
    return line.partition("=")[0].strip() == "home"


def _installations(executable: Path) -> Iterator[Path]:
    """Of every link on the way to the interpreter: uv keeps one below another."""
    link = executable
    for _ in range(8):
        if not link.is_symlink():
            break
        link = Path(os.path.normpath(link.parent / os.readlink(link)))
        yield link.parent.parent
    yield executable.resolve().parent.parent


def _of_binary(blender: Blender) -> Iterator[Path]:
    """What is started, which may be a script, and the folder that the download of what then runs unpacks to. One from a
    distribution lies below /usr, which is readable anyway."""
    yield blender.started
    told = Path(blender.facts.program or blender.started)
    for program in (told, told.resolve()):
        if not _is_too_much(program.parent):
            yield program.parent
        else:  # unpacked right into a home
            yield program
            yield from program.parent.glob("[0-9]*.[0-9]*")
            yield from program.parent.glob("lib")


def _library_folders() -> Iterator[Path]:
    """Where our environment tells the loader to look, which Blender's environment is told too."""
    for name in os.environ.get("LD_LIBRARY_PATH", "").split(":"):
        folder = Path(name)
        if name and folder.is_absolute() and folder.is_dir() and not _is_too_much(folder):
            yield folder


def _is_too_much(folder: Path) -> bool:
    """Whether the folder holds a home, or everything."""
    folder, home = folder.resolve(), os.path.expanduser("~")
    holds_home = os.path.isabs(home) and folder in (Path(home).resolve(), *Path(home).resolve().parents)
    return holds_home or folder == folder.parent or folder == Path("/tmp")


def _once(paths: Iterable[Path]) -> list[Path]:
    """Without those that are not there, or that lie below what a Blender may read anyway or below another."""
    kept: list[Path] = []
    for path in sorted({path for path in paths if path.exists()}):
        above = (*map(Path, SYSTEM), *kept)
        is_covered = str(path) in _PREFIXES or any(path == other or other in path.parents for other in above)
        if not is_covered and not _is_too_much(path):
            kept.append(path)
    return kept
