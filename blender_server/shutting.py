"""Shuts the last door of a process that is confined without a network of its own: it makes no more sockets.

Landlock and the launcher's filter cannot tell the two sockets of ours, which must be connected to first, from those of
docker, D-Bus or an ssh agent. So this is done here, between the connecting and the first request, for all threads.
Needs nothing but the standard library; also run by the probes of the levels.
"""

import ctypes
import errno
import os
import platform
import struct

ARCHITECTURES = {
    # machine: its number for the kernel's auditing, then of the calls seccomp, socket, socketpair, connect
    "x86_64": (0xC000003E, 317, 41, 53, 42),
    "aarch64": (0xC00000B7, 277, 198, 199, 203),
}
SET_MODE_FILTER, ALL_THREADS = 1, 1
LOAD, AND, EQUAL, RETURN = 0x20, 0x54, 0x15, 0x06
NUMBER, ARCH, SECOND_ARGUMENT = 0, 4, 24
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000
KIND, STREAM = 0xF, 1


def make_no_more_sockets():
    """Refuse socket and connect from here on, and pairs but of streams: a datagram of a pair may go anywhere. OSError
    where it cannot be done."""
    arch, seccomp, socket, socketpair, connect = ARCHITECTURES[platform.machine()]
    code = [
        (LOAD, 0, 0, ARCH),
        (EQUAL, 1, 0, arch),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER),
        (EQUAL, 5, 0, socket),
        (EQUAL, 4, 0, connect),
        (EQUAL, 0, 4, socketpair),
        (LOAD, 0, 0, SECOND_ARGUMENT),
        (AND, 0, 0, KIND),
        (EQUAL, 1, 0, STREAM),
        (RETURN, 0, 0, REFUSE),
        (RETURN, 0, 0, ALLOW),
    ]
    steps = b"".join(struct.pack("<HBBI", *step) for step in code)
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code), _address_of(steps)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(ctypes.c_long(seccomp), SET_MODE_FILTER, ALL_THREADS, program) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _address_of(text):
    _kept.append(ctypes.create_string_buffer(text))
    return ctypes.addressof(_kept[-1])


_kept = []
"""The kernel copies the program; Python must keep it until then."""
