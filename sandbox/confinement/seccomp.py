"""Owns the filter of system calls: what is refused, and its assembly into classic BPF. Standard library only.

A list of what is denied, not of what is allowed: Blender's threads and the graphics drivers need too much for that.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from typing import NamedTuple

from . import syscalls

_LOAD, _JUMP_EQUAL, _JUMP_GE, _JUMP_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_AT_NUMBER, _AT_ARCH, _AT_ARGUMENTS = 0, 4, 16
_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF_0000, 0x8000_0000, 0x0005_0000
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2

_NEW_NAMESPACES = 0x7E02_0000
"""Of clone's flags: NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET."""
_TIOCSTI, _TIOCLINUX, _FS_SETFLAGS, _FS_SETXATTR = 0x5412, 0x541C, 0x4008_6602, 0x401C_5820
_FIOSETOWN, _SIOCSPGRP, _F_SETOWN, _F_SETSIG, _F_SETOWN_EX = 0x8901, 0x8902, 8, 10, 15

ALWAYS = (
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease", "pidfd_getfd",
    "kcmp", "get_robust_list", "migrate_pages", "move_pages", "mount", "umount2", "pivot_root", "chroot",
    "open_tree", "open_tree_attr", "move_mount", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr",
    "unshare", "setns", "bpf", "add_key", "request_key", "keyctl", "io_uring_setup", "io_uring_enter",
    "io_uring_register", "perf_event_open", "userfaultfd", "name_to_handle_at", "open_by_handle_at",
    "fanotify_init", "inotify_init", "inotify_init1", "shmget", "shmat", "shmctl", "semget", "semop", "semctl",
    "semtimedop", "msgget", "msgsnd", "msgrcv", "msgctl", "mq_open", "mq_unlink", "kexec_load",
    "kexec_file_load", "init_module", "finit_module", "delete_module", "quotactl", "quotactl_fd", "swapon",
    "swapoff", "reboot", "acct", "settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "sethostname",
    "setdomainname", "syslog", "vhangup", "iopl", "ioperm", "modify_ldt", "ioprio_set",
)  # fmt: skip
"""Refused with EPERM, whatever the arguments."""

METADATA = (
    "chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat", "utime", "utimes",
    "futimesat", "utimensat", "setxattr", "lsetxattr", "fsetxattr", "setxattrat", "removexattr", "lremovexattr",
    "fremovexattr", "removexattrat", "file_setattr",
)  # fmt: skip
"""Refused where mounts don't protect what lies outside: Landlock lets an owner change these of any file."""


class Rule(NamedTuple):
    """One system call that is refused: always, or depending on the low words of its arguments."""

    call: str
    error: int = errno.EPERM
    only: tuple[tuple[int, tuple[int, ...]], ...] = ()
    """Allowed where each of these arguments has one of its values."""
    values: tuple[int, tuple[int, ...]] | None = None
    """Refused where this argument has one of these values."""
    bits: tuple[int, int] | None = None
    """Refused where this argument has one of these bits."""


def rules(*, metadata: bool, truncate: bool, signals_of: int | None) -> list[Rule]:
    """`metadata`, `truncate`: refuse these too; `signals_of`: let only this process be signalled (None: leave that
    to others)."""
    always = [*ALWAYS, *(METADATA if metadata else ()), *(["truncate"] if truncate else ())]
    ioctls: tuple[int, ...] = (_TIOCSTI, _TIOCLINUX, _FS_SETFLAGS, _FS_SETXATTR)
    refused = [Rule(call) for call in always]
    refused += [
        Rule("socket", errno.EAFNOSUPPORT, only=((0, (1,)),)),  # AF_UNIX
        Rule("clone", bits=(0, _NEW_NAMESPACES)),
        Rule("clone3", errno.ENOSYS),  # its flags lie in memory; the C library falls back to clone
        Rule("prlimit64", only=((0, (0,)),)),
        Rule("setpriority", only=((0, (0,)), (1, (0,)))),
        Rule("sched_setaffinity", only=((0, (0,)),)),
        Rule("sched_setparam", only=((0, (0,)),)),
        Rule("sched_setattr", only=((0, (0,)),)),
        Rule("sched_setscheduler", only=((1, (0,)),)),  # libzmq sets the ordinary one on its threads, or aborts
    ]
    if signals_of is not None:
        ioctls += (_FIOSETOWN, _SIOCSPGRP)
        refused += [Rule(call, only=((0, (0, signals_of)),)) for call in ("kill", "tgkill")]
        refused += [Rule(call, only=((0, (signals_of,)),)) for call in ("rt_sigqueueinfo", "rt_tgsigqueueinfo")]
        refused += [Rule("tkill"), Rule("pidfd_send_signal")]
        refused += [Rule("fcntl", values=(1, (_F_SETOWN, _F_SETSIG, _F_SETOWN_EX)))]
    return [*refused, Rule("ioctl", values=(1, ioctls))]


def program(refused: list[Rule], machine: str = "") -> bytes:
    """The filter as an array of `struct sock_filter`, which bubblewrap takes as well; KeyError where the architecture
    has no table."""
    machine = machine or platform.machine()
    arch, numbers = syscalls.AUDIT_ARCH[machine], syscalls.NUMBERS[machine]
    code = [_load(_AT_ARCH), _jump(_JUMP_EQUAL, arch, 1, 0), _return(_KILL_PROCESS), _load(_AT_NUMBER)]
    if machine == "x86_64":
        code += [_jump(_JUMP_GE, syscalls.X32_BIT, 0, 1), _refuse(errno.ENOSYS)]
    for rule in refused:
        if rule.call in numbers:  # the newer architectures never had some of the old calls
            block = _block(rule)
            code += [_jump(_JUMP_EQUAL, numbers[rule.call], 0, len(block)), *block]
    return b"".join([*code, _return(_ALLOW)])


def install(filter_program: bytes) -> None:
    """Put this process, and all that comes of it, under the filter for good. Needs no_new_privs."""

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))

    libc = ctypes.CDLL(None, use_errno=True)
    wanted = Program(len(filter_program) // 8, filter_program)
    if libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(wanted), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"seccomp: {os.strerror(ctypes.get_errno())}")


def is_known(machine: str = "") -> bool:
    """Whether there is a table for the architecture."""
    return (machine or platform.machine()) in syscalls.NUMBERS


def _block(rule: Rule) -> list[bytes]:
    """What happens once the call is known to be the rule's; always ends in a return."""
    refuse = _refuse(rule.error)
    if rule.bits is not None:
        index, mask = rule.bits
        return [_argument(index), _jump(_JUMP_SET, mask, 0, 1), refuse, _return(_ALLOW)]
    if rule.values is not None:
        index, values = rule.values
        tests = [part for value in values for part in (_jump(_JUMP_EQUAL, value, 0, 1), refuse)]
        return [_argument(index), *tests, _return(_ALLOW)]
    code = []
    for index, values in rule.only:
        code.append(_argument(index))
        code += [_jump(_JUMP_EQUAL, value, len(values) - place, 0) for place, value in enumerate(values)]
        code.append(refuse)
    return [*code, _return(_ALLOW)] if code else [refuse]


def _argument(index: int) -> bytes:
    return _load(_AT_ARGUMENTS + 8 * index)  # the low word, on little-endian machines


def _load(offset: int) -> bytes:
    return struct.pack("<HBBI", _LOAD, 0, 0, offset)


def _jump(kind: int, value: int, if_true: int, if_false: int) -> bytes:
    return struct.pack("<HBBI", kind, if_true, if_false, value)


def _return(value: int) -> bytes:
    return struct.pack("<HBBI", _RETURN, 0, 0, value)


def _refuse(error: int) -> bytes:
    return _return(_ERRNO | error)
