"""Owns the giving up of privileges, for good: no capabilities, none to be had by executing anything.

The user stays the same, even root: what Blender must read may lie in root's closed home. Without capabilities root is
an ordinary user to whom the system's files happen to belong, so what protects those is Landlock and seccomp, not this.
Measured of a capability-less root: it cannot read a full root's /proc/<pid>/environ or mem, nor trace it (its
capabilities are no subset of its own), but without the rest of the level it may signal it and chmod its files.

Standard library only: the launcher's.
"""

from __future__ import annotations

import ctypes
import os

_PR_CAPBSET_DROP, _PR_SET_SECUREBITS, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 24, 28, 38, 47
_CAP_AMBIENT_CLEAR_ALL = 4
_SECUREBITS = 0xEF
"""NOROOT, NO_SETUID_FIXUP, NO_CAP_AMBIENT_RAISE, each locked, and KEEP_CAPS locked as off."""
_VERSION_3 = 0x2008_0522
_MOST = 64


def forbid_new_privileges() -> None:
    """Nothing executed from here on gains anything, set-user-id programs included. Landlock and seccomp ask for it."""
    if _prctl(_PR_SET_NO_NEW_PRIVS, 1) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs cannot be set")


def drop_all() -> None:
    """Empty every set. Those that only a privileged process may empty are without effect in an unprivileged one."""
    for capability in range(_MOST):
        _prctl(_PR_CAPBSET_DROP, capability)
    _prctl(_PR_CAP_AMBIENT, _CAP_AMBIENT_CLEAR_ALL)
    _prctl(_PR_SET_SECUREBITS, _SECUREBITS)
    header, nothing = (ctypes.c_uint32 * 2)(_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    if ctypes.CDLL(None, use_errno=True).capset(header, nothing) != 0:
        raise OSError(ctypes.get_errno(), f"capabilities cannot be dropped: {os.strerror(ctypes.get_errno())}")


def _prctl(option: int, argument: int) -> int:
    zero = ctypes.c_ulong(0)
    libc = ctypes.CDLL(None, use_errno=True)
    return int(libc.prctl(option, ctypes.c_ulong(argument), zero, zero, zero))
