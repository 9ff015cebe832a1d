"""Owns the errors that end a run, each with the exit code that a farm reads and the way out for the user."""

from __future__ import annotations

import errno

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)


class RunError(Exception):
    """Ends the run with one message: the thing, the reason, the way out. Subclasses fix the exit code."""

    exit_code = 70

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(f"{message} {remedy}".strip())
        self.message, self.remedy = message, remedy


class UsageError(RunError):
    """The command line asks for something that cannot be."""

    exit_code = 64


class InputUnreadable(RunError):
    """The picture, or a run's file, cannot be read."""

    exit_code = 65


class NodeUnfit(RunError):
    """This machine cannot do it: no Blender, disk full, no write permission."""

    exit_code = 69


class ConfigurationError(RunError):
    """A setting, key or model id is refused."""

    exit_code = 78


class Interrupted(RunError):
    """Stopped, resumable: a signal, a lease held by another process, an API outage beyond patience."""

    exit_code = 75


class RoomLost(NodeUnfit):
    """What was under way failed, and there is too little room on disk: it is done again once there is some."""


class NoRoom(Interrupted):
    """There was too little room on disk for longer than the run may wait."""


class BudgetExhausted(RunError):
    """A budget is gone and there is no usable scene."""

    exit_code = 10


class ModelRefused(ConfigurationError):
    """The service refuses the key, the model id or the request itself."""


class ModelUnavailable(Interrupted):
    """Rate limits, overload or an outage outlasted the patience."""
