"""Damaged run folders, signals and readers that do not read: a message or a recovery, never a hang or a traceback."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from agent.config import Budget
from agent.console import Console
from agent.conversation import as_text
from agent.errors import Interrupted, UsageError
from agent.models.base import ModelReply, Place, ToolCall, Usage
from agent.runs.budget import Ledger
from agent.runs.folder import RunFolder
from agent.tools.base import parse_input
from agent.tools.fit import is_plain_path
from agent.tools.scene import LookInput
from agent.tools.workbench import Workbench
from protocol.errors import CallTimedOut, OutOfMemory, ProcessCrashed
from protocol.models import InspectRequest

BEGUN = {"event": "run", "version": 1, "config": {}, "source": "a.png", "blender": "4.5.0"}
STUCK = """
import time
from agent.runs.stopping import stopping
with stopping():
    while True:
        try:
            print("ready", flush=True)
            time.sleep(60)
        except Exception:
            pass  # swallows what the signal raised
"""


def seig(*arguments, **options):
    ended = subprocess.run(
        [sys.executable, "-m", "agent", *map(str, arguments)], capture_output=True, text=True, timeout=60, **options
    )
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended


@pytest.fixture
def begun(tmp_path):
    (tmp_path / "journal.jsonl").write_text(json.dumps(BEGUN) + "\n")
    return tmp_path


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_ends_even_what_swallows_it_within_three_seconds(kind):
    with subprocess.Popen([sys.executable, "-c", STUCK], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        sent = time.monotonic()
        process.send_signal(kind)
        assert process.wait(timeout=10) == 75
    assert time.monotonic() - sent < 4


def test_a_full_pipe_that_nobody_reads_holds_up_no_line():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    with os.fdopen(writer, "w") as stream, Console(stream=stream) as console:
        console.say("never read")
        console.step("nor this")
    os.close(reader)


def test_a_run_killed_before_its_journal_began_is_begun_again(tmp_path):
    for name in ("snapshots", "logs", "replies"):
        (tmp_path / name).mkdir()
    (tmp_path / "journal.jsonl").write_text('{"event": "ru')
    folder = RunFolder(tmp_path)
    assert not folder.exists()
    folder.prepare()
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UsageError):
        folder.prepare()


def test_a_run_is_not_moved_aside_while_somebody_works_in_it(begun):
    folder = RunFolder(begun)
    with folder.lease():
        assert RunFolder(begun).held()
        with pytest.raises(Interrupted):
            RunFolder(begun).move_aside()
    folder.move_aside()
    assert not begun.exists()


def test_what_a_killed_process_was_writing_is_removed(begun):
    (begun / "replies").mkdir()
    (begun / "replies" / ".part-a.png.1.2").touch()
    with RunFolder(begun).lease():
        assert not list(begun.rglob(".part-*"))


@pytest.mark.parametrize("damage", [b"{garbage", b"[1]", b"\xff\xfe", b""])
def test_show_reads_past_a_damaged_status_and_result(begun, damage):
    (begun / "status.json").write_bytes(damage)
    (begun / "result.json").write_bytes(damage)
    ended = seig("show", begun)
    assert ended.returncode == 0, ended.stderr
    assert "not finished: stopped" in ended.stdout


def test_a_status_that_says_running_is_not_believed_of_a_killed_run(begun):
    (begun / "status.json").write_text(json.dumps({"state": "running", "where": "geometry"}))
    assert json.loads(seig("show", begun, "--json").stdout)["state"] == "stopped"


def test_settings_of_another_version_are_told_with_exit_64(begun):
    (begun / "journal.jsonl").write_text(json.dumps({**BEGUN, "config": {"wings": 2}}) + "\n")
    ended = seig("resume", begun)
    assert ended.returncode == 64
    assert "--fresh" in ended.stderr


def test_closed_standard_streams_are_no_error(begun):
    for code in ("1>&-", "1>&- 2>&- <&-"):
        ended = subprocess.run(["sh", "-c", f'"{sys.executable}" -m agent show "{begun}" {code}'], timeout=60)
        assert ended.returncode == 0


def test_sums_outlive_a_torn_and_a_damaged_line_of_the_ledger(tmp_path):
    path = tmp_path / "ledger.jsonl"
    place = Place(rollout=-1, stage="geometry", round=1, role="generator", ordinal=0)
    Ledger(path, Budget()).book(place, "m", Usage(input_tokens=5), 1.0)
    with path.open("ab") as file:
        file.write(b"{garbage\n" + b'{"at": 1, "pla')
    again = Ledger(path, Budget())
    again.book(place, "m", Usage(input_tokens=6), 1.0)
    assert again.spent().calls == 2
    assert Ledger(path, Budget()).spent().tokens == 11


def test_halves_of_surrogate_pairs_in_a_reply_become_text():
    call = ToolCall(id="1", name="run_code", input={"code": "a\ud800", "\udfff": ["\ud800"]})
    reply = as_text(ModelReply(content=(call,), stop="tool_call", model="m"))
    assert reply.content[0].input == {"code": "a?", "?": ["?"]}


def test_numbers_that_are_none_are_refused_wherever_they_stand():
    view = {"kind": "orbit", "azimuth_deg": float("nan"), "elevation_deg": 0}
    assert parse_input(LookInput, {"view": view}) == "every number must be finite"


@pytest.mark.parametrize("path", ["a" + "[" * 5000, "a[" + "-" * 5000 + "1]", "a\ud800"])
def test_absurd_paths_are_no_plain_ones(path):
    assert not is_plain_path(path)


class Dying:
    """A session whose Blender dies over the first calls."""

    def __init__(self, *faults):
        self.faults = list(faults)

    def call(self, request, timeout_s=None):
        if self.faults:
            raise self.faults.pop(0)
        return "answer"


def bench_with(session):
    bench = Workbench(run=None, graph=None)
    bench.session = lambda: session
    return bench


@pytest.mark.parametrize(
    "fault",
    [ProcessCrashed("render", "ended by SIGKILL"), CallTimedOut("render", "no reply (the process did not respond)")],
)
def test_a_blender_that_somebody_kills_or_stops_is_asked_once_more(fault):
    assert bench_with(Dying(fault)).ask(InspectRequest(subject="scene")) == "answer"
    with pytest.raises(type(fault)):
        bench_with(Dying(fault, fault)).ask(InspectRequest(subject="scene"))


@pytest.mark.parametrize("fault", [OutOfMemory("render", "4 GiB"), CallTimedOut("render", "no reply (alive and busy)")])
def test_what_is_too_much_for_a_blender_is_not_asked_again(fault):
    with pytest.raises(type(fault)):
        bench_with(Dying(fault)).ask(InspectRequest(subject="scene"))
