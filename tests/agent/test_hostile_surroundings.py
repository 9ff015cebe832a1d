"""Damaged run folders, signals and readers that do not read: a message or a recovery, never a hang or a traceback."""

import contextlib
import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import ordinary_user
import pytest
from needs import lacking
from PIL import Image

from agent import cli
from agent.config import BoxLimits, Budget
from agent.console import Console
from agent.conversation import as_text
from agent.errors import Interrupted, UsageError
from agent.models.base import ModelReply, Place, ToolCall, Usage
from agent.runs.budget import Ledger
from agent.runs.folder import RunFolder
from agent.runs.journal import Patience
from agent.tools.base import parse_input
from agent.tools.fit import is_plain_path
from agent.tools.scene import LookInput
from agent.tools.workbench import Workbench, once_more
from protocol.errors import CallTimedOut, OutOfMemory, ProcessCrashed, ProtocolViolated
from protocol.models import InspectRequest
from sandbox.confinement import paths
from sandbox.folders import ROOT
from sandbox.snapshots import SnapshotUnfit
from sandbox.transaction import EditOutcome

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


UNWINDING = """
import sys, time
from agent.runs.stopping import stopping
with stopping(patience_s=60.0):
    try:
        with stopping(patience_s=60.0):
            print("ready", flush=True)
            time.sleep(60)
    finally:
        print("unwinding", flush=True)
        time.sleep(60)
"""


def test_a_second_interrupt_ends_at_once_what_the_first_is_still_unwinding():
    with subprocess.Popen([sys.executable, "-c", UNWINDING], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == b"unwinding\n"
        process.send_signal(signal.SIGTERM)  # it is ending already
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=2) == 75
        assert process.stderr.read() == b""


def test_what_was_started_with_nohup_outlives_the_terminal_and_hears_other_signals():
    command = ["nohup", sys.executable, "-c", STUCK]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=3.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 75


def test_a_full_pipe_that_nobody_reads_holds_up_no_line():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    with os.fdopen(writer, "w") as stream, Console(stream=stream) as console:
        console.say("never read")
        console.step("nor", "this")
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
    assert (folder.move_aside() / "journal.jsonl").exists()
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


def test_a_journal_that_cannot_be_read_exits_69_and_says_so(begun):
    (begun / "journal.jsonl").unlink()
    (begun / "journal.jsonl").mkdir()
    for command in ("resume", "show", "verify"):
        ended = seig(command, begun)
        assert ended.returncode == 69
        assert f"{begun / 'journal.jsonl'} cannot be read: is a directory" in ended.stderr


def test_a_journal_whose_first_line_is_damaged_is_told_from_a_folder_without_a_run(begun):
    (begun / "journal.jsonl").write_text("{garbage\n")
    ended = seig("resume", begun)
    assert ended.returncode == 64 and "first line is damaged" in ended.stderr and "--fresh" in ended.stderr


@pytest.mark.parametrize("damage", ["remove", "garbage", "another"])
def test_a_run_whose_picture_is_gone_says_how_to_give_it_again(begun, damage):
    if damage == "garbage":
        (begun / "reference.png").write_bytes(b"garbage")
    elif damage == "another":
        Image.new("RGB", (9, 9)).save(begun / "reference.png")
    ended = seig("resume", begun)
    assert ended.returncode == 65
    assert "reference.png" in ended.stderr and f"make run IMAGE=a.png OUT={begun}" in ended.stderr


def test_below_a_folder_that_cannot_be_entered_an_ordinary_user_is_told_which(tmp_path):
    if os.getuid() == 0 and subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        lacking("root that may make a mount namespace")
    user, closed = tmp_path / "user", tmp_path / "closed"
    user.mkdir()
    closed.mkdir(mode=0o700)
    closed.chmod(0o000)
    Image.new("RGB", (32, 32)).save(user / "a.png")
    command = [sys.executable, "-m", "agent", "run", user / "a.png", "--out", closed / "out"]
    needed = [*paths.of_python(Path(sys.executable)), ROOT / "prompts"]
    try:
        ended = ordinary_user.run(command, user, needed, cwd=ROOT, capture_output=True, text=True, timeout=60)
    finally:
        closed.chmod(0o755)
    assert ended.returncode == 69, ended.stderr
    assert f"{closed}/out cannot be entered: permission denied" in ended.stderr and "another OUT" in ended.stderr


@pytest.mark.parametrize(
    "what", ["Journal(folder).note('said', text='x' * 10_000)", "write_atomically(folder / 'a', b'x' * 10_000)"]
)
def test_a_file_that_there_is_no_room_for_is_named(tmp_path, what):
    program = (
        "import resource; from pathlib import Path; from agent.runs.journal import Journal, write_atomically\n"
        f"folder = Path({str(tmp_path)!r}); resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        f"try:\n    {what}\nexcept OSError as error:\n    print(error.filename)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() in (str(tmp_path / "journal.jsonl"), str(tmp_path / "a"))


@pytest.mark.parametrize(
    "cause", [OSError(errno.ENOSPC, "No space left on device"), OSError(errno.ENOSPC, "full", "/x")]
)
def test_a_full_disk_is_told_with_what_did_not_fit_and_the_way_out(capsys, cause):
    error = SnapshotUnfit("what was saved cannot be kept: no space left on device")
    error.__cause__ = cause
    assert cli._tell(error) == 69
    said = capsys.readouterr().err
    assert ("/x: full" if cause.filename else "what was saved") in said and "Make room, then resume" in said


def test_the_clock_of_a_resumed_run_goes_on_from_the_time_already_spent(tmp_path):
    with Console(tmp_path / "status.json", io.StringIO(), spent_s=125) as console:
        assert console.elapsed() == "2:05"
    status = json.loads((tmp_path / "status.json").read_text())
    assert (status["state"], status["where"], status["percent"]) == ("finished", "finished", 100)
    assert 125 <= status["elapsed_s"] < 126


@pytest.mark.parametrize("spent", [{"calls": 7}, {"minutes": 7.5}, {"tokens": 7_000_000}])
def test_a_budget_that_is_reached_says_the_option_that_raises_it(tmp_path, spent):
    ((what, limit),) = spent.items()
    ledger = Ledger(tmp_path / "ledger.jsonl", Budget(**spent), minutes=8.0)
    place = Place(rollout=-1, stage="geometry", round=1, role="generator", ordinal=0)
    for _ in range(7):
        ledger.book("key", place, "m", Usage(input_tokens=1_000_000), 1.0)
    reached = ledger.reached()
    assert f"{limit:,} {what}" in str(reached)
    assert reached.larger() == (f"--max-{what}", f"{2 * limit:g}" if limit < 100 else "14000000")


def test_closed_standard_streams_are_no_error(begun):
    for code in ("1>&-", "1>&- 2>&- <&-"):
        ended = subprocess.run(["sh", "-c", f'"{sys.executable}" -m agent show "{begun}" {code}'], timeout=60)
        assert ended.returncode == 0


def test_the_budget_last_given_and_the_time_taken_are_read_past_lines_that_were_changed(begun):
    budget = {"calls": 9, "tokens": 5, "minutes": 3.0, "usd": None}
    notes = [
        {"event": "resumed", "budget": budget},
        {"event": "failed", "minutes": 2.5},
        {"event": "failed", "minutes": "long"},
        {"event": "resumed", "budget": {"wings": 2}},
        {"event": "result", "result": 3},
    ]
    with (begun / "journal.jsonl").open("a") as journal:
        journal.writelines(json.dumps(note) + "\n" for note in notes)
    history = RunFolder(begun).history()
    assert (history.budget, history.minutes) == (Budget(**budget), 2.5)


def test_sums_outlive_a_torn_and_a_damaged_line_of_the_ledger(tmp_path):
    path = tmp_path / "ledger.jsonl"
    place = Place(rollout=-1, stage="geometry", round=1, role="generator", ordinal=0)
    Ledger(path, Budget()).book("key", place, "m", Usage(input_tokens=5), 1.0)
    with path.open("ab") as file:
        file.write(b"{garbage\n" + b'{"at": 1, "pla')
    again = Ledger(path, Budget())
    again.book("key", place, "m", Usage(input_tokens=6), 1.0)
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
    bench = Workbench(run=SimpleNamespace(room=Patience()), graph=None)
    bench.session = lambda: session
    return bench


@pytest.mark.parametrize(
    "fault",
    [
        ProcessCrashed("render", "ended by SIGKILL"),
        ProtocolViolated("render", "its nanny was lost (SIGKILL)"),
        CallTimedOut("render", "no reply (the process did not respond)"),
    ],
)
def test_a_blender_that_somebody_kills_or_stops_is_asked_once_more(fault):
    assert bench_with(Dying(fault)).ask(InspectRequest(subject="scene")) == "answer"
    with pytest.raises(type(fault)):
        bench_with(Dying(fault, fault)).ask(InspectRequest(subject="scene"))


@pytest.mark.parametrize(
    ("kind", "message", "times"),
    [
        ("crashed", "Blender crashed: ended by SIGKILL.", 2),
        ("snapshot_failed", "what was saved cannot be opened: Blender ended by SIGKILL on it.", 2),
        ("snapshot_failed", "what was saved cannot be opened: Blender ended by SIGSEGV on it.", 1),
        ("script_error", "MemoryError", 1),
    ],
)
def test_an_edit_over_which_a_blender_is_killed_is_executed_once_more(kind, message, times):
    """Be it the active one's or the standby's, which was to judge it: the code need not have to do with it."""
    executed = []

    def edit(*asked):
        executed.append(asked)
        return EditOutcome(kind=kind, message=message)

    bench = bench_with(SimpleNamespace(edit=edit))
    bench.run.store = SimpleNamespace(ancestry=lambda id: [None])
    bench.run.config = SimpleNamespace(seed=0, limits=BoxLimits())
    bench.run.console = SimpleNamespace(waiting=lambda what: contextlib.nullcontext())
    bench.run.room.check = lambda: None
    bench.stage = SimpleNamespace(name="material", scope=frozenset(), keeps_slots=False, keeps_objects=False)
    bench._head = SimpleNamespace(id="head")
    assert bench.edit("code", "purpose").kind == kind
    assert len(executed) == times


def test_what_takes_many_requests_is_begun_anew_where_its_blender_is_killed():
    killed, crashed = ProcessCrashed("render", "ended by SIGKILL"), ProcessCrashed("render", "ended by SIGSEGV")
    session = Dying(killed)
    assert once_more(lambda: session.call("look")) == "answer"
    session = Dying(killed, killed)
    with pytest.raises(ProcessCrashed):
        once_more(lambda: session.call("look"))
    session = Dying(crashed)
    with pytest.raises(ProcessCrashed):
        once_more(lambda: session.call("look"))


@pytest.mark.parametrize(
    "fault",
    [
        OutOfMemory("render", "4 GiB"),
        CallTimedOut("render", "no reply (alive and busy)"),
        ProtocolViolated("render", "no readable picture"),
    ],
)
def test_what_is_too_much_for_a_blender_is_not_asked_again(fault):
    with pytest.raises(type(fault)):
        bench_with(Dying(fault)).ask(InspectRequest(subject="scene"))
