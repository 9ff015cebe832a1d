"""Owns the ground that faults are tried on: a pool at one level, a scene, canaries, and the look after each fault.

What is tried: `catalogue`, `adversary`.
"""

import contextlib
import hashlib
import itertools
import threading

import psutil
from box_helpers import ALL, Editor, a_blender, assert_nothing_left, eventually, processes_of

from protocol.models import DumpRequest, InspectRequest, SettleRequest
from sandbox.confinement.levels import Level
from sandbox.limits import GIB, MIB, Limits
from sandbox.nanny.requests import OpenRequest, ReopenRequest, SaveRequest
from sandbox.pool import Pool
from sandbox.snapshots import SnapshotStore
from tests.faults.canaries import Canaries

LIMITS = Limits(
    memory_bytes=GIB,
    folder_bytes=192 * MIB,
    file_bytes=64 * MIB,
    output_bytes=2 * MIB,
    reply_bytes=16 * MIB,
    processes=32,
    open_files=256,
    boot_s=45,
)
SHORT_S = 5.0
"""For what takes a tenth of a second, so that code which makes it hang does not cost a minute."""
FAULTS = ("deadline", "oom", "crashed", "exited", "protocol_error")
CUP = "bpy.ops.mesh.primitive_cube_add()\nbpy.context.object.name = 'Cup'\n"
MOVE = "bpy.data.objects['Cup'].location.x += 1\n"
REACHED = "REACHED"
"""Printed by code that got at what it should not, followed by what that was."""

_numbers = itertools.count(1)


class Ground:
    """For many faults, one after the other. `folder` holds the store and the logs."""

    def __init__(self, level, folder, kind="wheel", limits=LIMITS):
        self.level, self.folder, self.limits = level, folder, limits
        self.blender = a_blender(kind)
        self.told = []
        """The faults, as the pool told them."""

    def __enter__(self):
        with contextlib.ExitStack() as self._undo:
            self._begin()
            self._undo = self._undo.pop_all()
        return self

    def _begin(self):
        for request in (SettleRequest, SaveRequest, ReopenRequest, OpenRequest):
            self._undo.callback(setattr, request, "timeout_s", request.timeout_s)
            request.timeout_s = SHORT_S
        self.canaries = self._undo.enter_context(Canaries())
        self.store = SnapshotStore(self.folder / "snapshots")
        level = Level.parse(self.level)
        self.pool = Pool(
            self.blender, self.limits, self.store, self.folder / "logs", level=level, on_fault=self.told.append
        )
        self._undo.callback(self._look_for_what_is_left)
        self._undo.enter_context(self.pool)
        self.scene = self._undo.enter_context(self.pool.session())
        self.edit_plainly = Editor(self.scene)
        assert self.edit(CUP).kind == "committed"
        self._base = self.scene.head
        self._await_quiet(lambda: len(self._running()) >= 4)
        self._usual = len(self._running())

    def __exit__(self, *failure):
        self._undo.__exit__(*failure)

    def edit(self, source, scope=ALL, timeout_s=15.0, **more):
        """With a number in it, so that no two are the same code and none is refused for what another did."""
        return self.edit_plainly(f"{source}\n# {next(_numbers)}", scope, timeout_s=timeout_s, **more)

    def with_targets(self, source):
        """The code, told where the canaries are."""
        return f"T = {self.canaries.targets!r}\n{source}"

    def place(self):
        """Where the object is, asked of the active Blender."""
        what = self.scene.call(InspectRequest(subject="object", name="Cup"))[0].what
        return round(what["location"][0], 4)

    @contextlib.contextmanager
    def watched(self):
        """Whatever happens inside costs neither an accepted state nor a process, nor the agent its memory."""
        us = psutil.Process()
        kept, memory, peak = self.kept(), us.memory_info().rss, Peak(self.pool)
        self.told.clear()
        with peak:
            yield
        grown = us.memory_info().rss - memory
        assert grown < 48 * MIB, f"the agent grew by {grown / MIB:.0f} MiB"
        # Some of it is freed only when the thread that looks comes round.
        assert peak.bytes < 2 * self.limits.nanny_bytes, f"a nanny grew to {peak.bytes / MIB:.0f} MiB"
        now = self.kept()
        assert kept.items() <= now.items(), f"changed in the store: {dict(kept.items() - now.items())}"
        assert not list(self.store.folder.glob(".draft-*"))

    def goes_on(self):
        """The next edit commits from the last snapshot and does what it says; nothing but what is usual runs."""
        parent, x = self.scene.head, self._accepted_place()
        outcome = self.edit(MOVE)
        assert outcome.kind == "committed", f"the next edit: {outcome.kind}: {outcome.message}"
        assert outcome.changes, "the next edit was not executed"
        assert self.scene.head.parent == parent.id
        assert self._accepted_place() == x + 1 == self.place(), "the next edit did something else than it says"
        assert {change.key for change in outcome.changes} == {"object:Cup"}, outcome.message
        self.states_are_true(self.scene.head)
        self._await_quiet(lambda: len(self._running()) <= self._usual)

    def states_are_true(self, *snapshots):
        """What was accepted is what a clean Blender reads in the file."""
        for snapshot in snapshots:
            with self.pool.judge() as judge:
                judge.open(self.store.verify(snapshot.id))
                assert judge.fingerprint() == self.store.fingerprint(snapshot.id)

    def recorded(self, kind):
        """Whether a record of the run can name this fault and the level."""
        return kind not in FAULTS or (
            kind in {fault.kind for fault in self.told} and str(self.pool.level) == self.level
        )

    def clean(self):
        """The next fault meets a process that knows nothing of this one, and a scene as at first."""
        self.scene.head = self._base
        self.scene.fresh()

    def kept(self):
        """name → digest of what lies in the store."""
        files = [path for path in self.store.folder.iterdir() if path.suffix in (".blend", ".json")]
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.name[0] != "."}

    def _accepted_place(self):
        with self.pool.judge() as judge:
            judge.open(self.store.verify(self.scene.head.id))
            numbers = judge._standby.call(DumpRequest())[0].numbers["object:Cup"]
        found = next(values for path, values in numbers.items() if path.endswith("location") and len(values) == 3)
        return round(found[0], 4)

    def _running(self):
        """All below us and all that was started in the pool's folder, canaries aside."""
        below = {each.pid for each in psutil.Process().children(recursive=True)}
        return (below | {each.pid for each in processes_of(self.pool.folder)}) - {self.canaries.bystander.pid}

    def _await_quiet(self, condition):
        standby = self.pool._standby
        if standby is not None:
            standby.result()
        eventually(condition, 40)

    def _look_for_what_is_left(self):
        assert_nothing_left(self.pool.folder)


class Peak:
    """The most memory that any nanny of a pool's held during a `with` block."""

    def __init__(self, pool):
        self.bytes, self._pool, self._over = 0, pool, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self):
        self._thread.start()

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def _look(self):
        while not self._over.wait(0.02):
            for nanny in list(self._pool._nannies):
                with contextlib.suppress(psutil.Error):
                    self.bytes = max(self.bytes, psutil.Process(nanny.pid).memory_info().rss)
