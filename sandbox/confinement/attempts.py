"""Tries what a level forbids, and says how each attempt ended: one JSON object on its output.

Handed to a Python that is confined as a Blender would be, so: standard library only, and nothing but this one file.
Every attempt is against something made for it, which the other side looks at afterwards.
"""

import ctypes
import json
import os
import signal
import socket
import sys

CLONE_NEWUSER, PTRACE_ATTACH, PTRACE_DETACH = 0x1000_0000, 16, 17


def outcome(attempt, *arguments):
    """What it got, as text; or the error's name after a "!"."""
    try:
        return str(attempt(*arguments))
    except OSError as error:
        return "!" + type(error).__name__ + " " + (error.strerror or "")


def read(path):
    with open(path, "rb") as file:
        return file.read(65536).decode("latin-1")


def open_memory(pid):
    with open("/proc/{}/mem".format(pid), "rb"):
        return "opened"


def see(pid):
    os.stat("/proc/{}".format(pid))
    return "seen"


def open_settings(path):
    os.close(os.open(path, os.O_WRONLY))  # opening alone changes nothing
    return "opened"


def write(path):
    with open(path, "w") as file:
        file.write("was here")
    return "written"


def change_mode(path):
    os.chmod(path, 0o777)
    return "changed"


def cut_off(path):
    os.truncate(path, 0)
    return "cut off"


def connect(kind, how, address):
    with socket.socket(kind, how) as out:
        out.settimeout(1)
        out.connect(address if isinstance(address, str) else tuple(address))
        out.send(b"was here")
    return "connected"


def trace(pid):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(PTRACE_ATTACH, pid, None, None) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    os.waitpid(pid, 0)
    libc.ptrace(PTRACE_DETACH, pid, None, None)
    return "traced"


def set_limit(pid):
    import resource

    return resource.prlimit(pid, resource.RLIMIT_NOFILE, (64, 64))


def make_user_namespace():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return "made"


def main(targets):
    pid = targets["pid"]
    say = {
        "environment": outcome(read, "/proc/{}/environ".format(pid)),
        "parent's environment": outcome(read, "/proc/{}/environ".format(targets["parent"])),
        "memory": outcome(open_memory, pid),
        "see": outcome(see, pid),
        "limits": outcome(set_limit, pid),
        "trace": outcome(trace, pid),
        "home": outcome(read, targets["home"]),
        "run folder": outcome(read, targets["run"]),
        "write": outcome(write, targets["new"]),
        "mode": outcome(change_mode, targets["run"]),
        "truncate": outcome(cut_off, targets["long"]),
        "kernel settings": outcome(open_settings, "/proc/sys/kernel/core_pattern"),
        "accounts": outcome(read, "/etc/passwd"),
        "tcp": outcome(connect, socket.AF_INET, socket.SOCK_STREAM, targets["tcp"]),
        "udp": outcome(connect, socket.AF_INET, socket.SOCK_DGRAM, targets["udp"]),
        "abstract socket": outcome(connect, socket.AF_UNIX, socket.SOCK_STREAM, "\0" + targets["abstract"]),
        "path socket": outcome(connect, socket.AF_UNIX, socket.SOCK_STREAM, targets["path"]),
        "own folder": outcome(write, os.path.join(targets["folder"], "own")),
        "user namespace": outcome(make_user_namespace),
        "signal": outcome(os.kill, pid, signal.SIGKILL),
    }
    print(json.dumps(say))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
