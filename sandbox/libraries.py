"""Owns the shared libraries that Blender needs: which are missing here, and the one command that installs them.

Standard library only: the set-up asks before anything is installed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

DEBIAN_PACKAGES = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libGLX.so.0": "libglx0",
    "libICE.so.6": "libice6",
    "libOpenGL.so.0": "libopengl0",
    "libSM.so.6": "libsm6",
    "libX11.so.6": "libx11-6",
    "libXext.so.6": "libxext6",
    "libXfixes.so.3": "libxfixes3",
    "libXi.so.6": "libxi6",
    "libXrender.so.1": "libxrender1",
    "libXt.so.6": "libxt6",
    "libXxf86vm.so.1": "libxxf86vm1",
    "libdbus-1.so.3": "libdbus-1-3",
    "libdecor-0.so.0": "libdecor-0-0",
    "libgomp.so.1": "libgomp1",
    "libstdc++.so.6": "libstdc++6",
    "libwayland-client.so.0": "libwayland-client0",
    "libwayland-cursor.so.0": "libwayland-cursor0",
    "libwayland-egl.so.1": "libwayland-egl1",
    "libxcb.so.1": "libxcb1",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libz.so.1": "zlib1g",
    "libzstd.so.1": "libzstd1",
}

_UNFOUND = re.compile(r"^\s*(\S+\.so[\d.]*) => not found", re.MULTILINE)
_UNLOADED = re.compile(r"(\S+\.so[\d.]*): cannot open shared object file")


def missing_libraries(executable: Path, said: str = "") -> list[str]:
    """Libraries that the loader does not find for a binary or for a wheel's environment, all of them at once."""
    missing = set(_UNLOADED.findall(said))
    if shutil.which("ldd") is not None:
        for file in _loaded_files(executable):
            missing.update(_UNFOUND.findall(_ldd(file)))
    return sorted(missing)


def packages_for(missing: list[str]) -> list[str]:
    """Debian's packages that hold them, as far as known."""
    return sorted({DEBIAN_PACKAGES[name] for name in missing if name in DEBIAN_PACKAGES})


def advice(missing: list[str]) -> str:
    """The one thing to do about them."""
    packages, unknown = packages_for(missing), [name for name in missing if name not in DEBIAN_PACKAGES]
    if shutil.which("apt-get") is None or not packages:
        return f"Install the libraries {', '.join(missing)} with your system's package manager."
    rest = f" (and whatever holds {', '.join(unknown)})" if unknown else ""
    return f"Install them: {apt_command(packages)}{rest}"


def apt_command(packages: list[str]) -> str:
    """One line to paste."""
    sudo = "" if hasattr(os, "geteuid") and os.geteuid() == 0 else "sudo "
    names = " ".join(packages)
    return f"{sudo}apt-get update && {sudo}apt-get install -y --no-install-recommends {names}"


def is_root_with_apt() -> bool:
    """Whether we may install Debian packages without asking anyone."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def apt_install(packages: list[str]) -> str:
    """Run it ourselves; what went wrong, or nothing."""
    if not packages:
        return "no package that would help is known"
    print(f"Installing {', '.join(packages)} with apt-get …", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
    subprocess.run(["apt-get", "update", "-q"], env=environment, capture_output=True, timeout=600, check=False)
    done = subprocess.run(install, env=environment, capture_output=True, timeout=1200, check=False)
    if done.returncode != 0:
        tail = done.stderr.decode(errors="replace").strip()[-500:]
        return f"apt-get could not install {', '.join(packages)}: {tail}"
    return ""


def _loaded_files(executable: Path) -> list[Path]:
    modules = list(executable.parent.parent.glob("lib/python*/site-packages/bpy/__init__*.so"))
    return modules or [executable]


def _ldd(file: Path) -> str:
    try:
        done = subprocess.run(["ldd", str(file)], capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace")
