"""Owns the error codes of the wire and the exceptions that stand for everything that can go wrong with a Blender.

Plain Python 3.7: Blender imports this file too. On the wire an error is a code, a message and data, never a pickle.
"""

from typing import Any, Dict, Optional

# Codes that a reply may carry. The first is the model's to fix, the others are ours.
SCRIPT_ERROR = "script_error"  # executed code raised; data: traceback, line, stdout
BAD_REQUEST = "bad_request"  # the request's fields are wrong
UNKNOWN_METHOD = "unknown_method"
NOT_FOUND = "not_found"  # a named object, material or file does not exist
UNSUPPORTED = "unsupported"  # this Blender cannot do it (engine, file version)
REFUSED = "refused"  # a snapshot with linked libraries, unpacked images, …
DUPLICATE = "duplicate"  # an id that was handled before and is no longer cached
INTERNAL = "internal"  # a defect in the server


class BlenderError(Exception):
    """Root of all that a caller of a Blender must be ready for."""


class RequestFailed(BlenderError):
    """The Blender answered: no. It is alive and its scene is as before, unless `code` is SCRIPT_ERROR."""

    def __init__(self, method: str, code: str, message: str, data: Optional[Dict[str, Any]] = None) -> None:
        super().__init__("{}: {} ({})".format(method, message, code))
        self.method, self.code, self.message, self.data = method, code, message, data or {}


class ScriptFailed(RequestFailed):
    """Executed code raised. `traceback_text` is what the model is shown."""

    def __init__(self, method: str, message: str, data: Optional[Dict[str, Any]] = None) -> None:
        super().__init__(method, SCRIPT_ERROR, message, data)
        self.traceback_text = str(self.data.get("traceback", message))
        self.stdout = str(self.data.get("stdout", ""))
        patched = self.data.get("patched")
        self.patched = tuple(str(name)[:80] for name in patched[:5]) if isinstance(patched, list) else ()


class ProcessFault(BlenderError):
    """The Blender is gone or must go; the scene it held is lost. `kind` is the word the model is told."""

    kind = "crashed"
    level = ""
    """Isolation level that was in force, where a pool tells of it."""

    def __init__(self, method: str, message: str, log_tail: str = "") -> None:
        super().__init__("{}: {}".format(method, message))
        self.method, self.message, self.log_tail = method, message, log_tail


class CallTimedOut(ProcessFault):
    """No reply within the deadline."""

    kind = "deadline"


class OutOfMemory(ProcessFault):
    """The process tree passed its memory limit, or an allocation failed inside Blender."""

    kind = "oom"


class ProcessCrashed(ProcessFault):
    """Ended by a signal (segmentation fault, abort, kill)."""

    kind = "crashed"


class ProcessExited(ProcessFault):
    """Ended by itself, with whatever exit code, while a call was open."""

    kind = "exited"


class ProtocolViolated(ProcessFault):
    """Sent something that is no valid reply: too large, malformed, wrong types."""

    kind = "protocol_error"


FAULTS = {fault.kind: fault for fault in (CallTimedOut, OutOfMemory, ProcessCrashed, ProcessExited, ProtocolViolated)}
"""The statuses with which a nanny answers that its Blender is gone, by what each means."""


class SetupFailed(BlenderError):
    """No usable Blender process could be started. `remedy` says what the user can do."""

    def __init__(self, message: str, remedy: str = "", log_tail: str = "") -> None:
        super().__init__(message)
        self.message, self.remedy, self.log_tail = message, remedy, log_tail


class BreakerOpen(SetupFailed):
    """Blenders that did start do so no longer, several times in a row: nothing more is tried for now."""
