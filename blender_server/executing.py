"""Owns execute and settle: runs code, keeps what it prints, and tells what it raised in words that help to mend it."""

import contextlib
import io
import linecache
import time
import traceback

from blender_server import compat, editing, selfcheck
from blender_server.refusals import Refusal
from protocol import errors

STDOUT_KEPT = 16 * 1024
TRACEBACK_KEPT = 6000
FILENAME = "edit"


class Tail(io.TextIOBase):
    """Keeps the end of what is written to it."""

    def __init__(self, limit):
        super().__init__()
        self._limit, self._text = limit, ""

    def writable(self):
        return True

    def write(self, text):
        self._text = (self._text + text)[-self._limit :]
        return len(text)

    def text(self):
        return _sendable(self._text)


def execute(source, seed=0, keep_slots=False):
    printed, started = Tail(STDOUT_KEPT), time.monotonic()
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            editing.run_edit(source, seed, keep_slots, FILENAME)
    except BaseException as error:  # SystemExit and KeyboardInterrupt too: what the code raised is the code's
        raise _script_error(error, source, printed.text(), selfcheck.changed()) from None
    duration_s = time.monotonic() - started
    return {"stdout": printed.text(), "duration_s": duration_s, "patched": selfcheck.changed()}


def settle():
    return {"resets": editing.settle()}


def _script_error(error, source, stdout, patched):
    line, hint = _line_in_source(error), compat.hint(error, source)
    code = linecache.getline(FILENAME, line).strip()
    message = "".join(traceback.format_exception_only(type(error), error)).strip().splitlines()[-1]
    if code:
        message += " (line {}: `{}`)".format(line, code[:200])
    text = _sendable(_traceback_text(error).rstrip())
    if hint:
        message, text = message + ". " + hint, text + ". " + hint
    return Refusal(errors.SCRIPT_ERROR, message, traceback=text, line=line, stdout=stdout, patched=patched)


def _line_in_source(error):
    """The last line of the code's own that was running; 0 when none was."""
    if isinstance(error, SyntaxError) and error.filename == FILENAME:
        return error.lineno or 0
    lines = [line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == FILENAME]
    return lines[-1] if lines else 0


def _traceback_text(error):
    """From the code's first line on: our own frames help nobody."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != FILENAME:
        trace = trace.tb_next
    text = "".join(traceback.format_exception(type(error), error, trace))
    return text if len(text) <= TRACEBACK_KEPT else text[:2000] + "\n…\n" + text[-TRACEBACK_KEPT + 2000 :]


def _sendable(text):
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
