"""Owns the adversary's list, beyond the catalogue: code that forges, lies, waits, plants and races.

None of it may change an accepted state, reach a secret at L2 and L3, or go unnoticed.
"""

from tests.faults import lying
from tests.faults.catalogue import DEADLINE, FILES, NOBODY, STANDBY, WIRED, code, done, reach
from tests.faults.ground import MOVE
from tests.faults.injected import WIRE, saving
from tests.faults.table import Row, one_of

STORE = "the store, which looks at what the nanny copied"
PLAIN = "the nanny, which copies plain files and follows no link"
FRESH = "a clean process for the next stage"
ATOMIC = "the copy in the store, which is judged and kept as it is"

SAVER = """
import os
from blender_server import server as module
save = module.HANDLERS["snapshot"]
"""
"""`save` is what saves the scene; to be replaced in `module.HANDLERS`."""

ROWS = (
    # ── forged replies ──
    code(
        "A1",
        "it answers its own request, then goes on for ever",
        "deadline",
        WIRE + MOVE + "reply(MINE, 'execute', DONE)\nwhile True: pass",
        15,
        DEADLINE,
    ),
    code(
        "A2",
        "it answers that an edit failed in a way that only nannies know",
        "protocol_error",
        WIRE + "reply(MINE, 'execute', {}, status='oom', message='forged')\ntime.sleep(600)",
        15,
        WIRED,
    ),
    code(
        "A3",
        "a thread answers requests that are still to come",
        "committed snapshot_failed protocol_error crashed deadline",
        WIRE
        + MOVE
        + """
import threading
settled = (1, "settle", {"resets": []})
forged = [settled, (2, "snapshot", {"file": "../../x", "bytes": 1}), (3, "restore", {"objects": 9})]
def answer():
    for _ in range(200):
        for ahead, method, body in forged: reply(MINE + ahead, method, body)
        time.sleep(0.005)
threading.Thread(target=answer, daemon=True).start()
""",
        15,
        STANDBY + "; " + WIRED,
    ),
    done(
        "A4",
        "it becomes the server, and saves a file of its own",
        "violation",
        lying.becomes_the_server,
        STANDBY,
        ordinary=True,
        lingers=True,
    ),
    done(
        "A5",
        "it becomes the server, and executes no later edit",
        "noticed",
        lying.executes_no_more,
        FRESH,
    ),
    # ── lies ──
    done(
        "A6",
        "the fingerprint function replaced",
        "violation",
        lying.fingerprint_replaced,
        STANDBY,
        ordinary=True,
    ),
    done("A7", "bpy and the readers of the scene replaced", "violation", lying.readers_replaced, STANDBY),
    done(
        "A8",
        "restore replaced by a function that restores nothing",
        "violation",
        lying.restore_replaced,
        STANDBY,
    ),
    done(
        "A9",
        "an accepted edit's patch that meets the next edit of its stage",
        "the next edit does what it says",
        lying.meets_the_next,
        "a clean process for the next edit",
    ),
    code(
        "A10",
        "the seeds of random and numpy made void",
        "committed",
        MOVE + "import random, numpy\nrandom.seed = numpy.random.seed = lambda *a: None",
        15,
        FRESH,
    ),
    code(
        "A11",
        "bpy replaced where the server saves",
        "snapshot_failed",
        MOVE + "from blender_server import editing, snapshots\nediting.bpy = snapshots.bpy = None",
        15,
        "the save that fails",
    ),
    # ── what acts later ──
    done(
        "A12",
        "a handler that adds an object whenever a file is saved",
        "violation",
        lying.adds_at_save,
        STANDBY,
    ),
    done(
        "A13",
        "a handler that adds an object whenever a file is opened",
        "the state is true",
        lying.adds_at_load,
        STANDBY,
    ),
    code(
        "A14",
        "a thread that changes the scene while it is saved",
        "committed snapshot_failed crashed deadline protocol_error",
        MOVE
        + """
import threading
def move():
    for _ in range(100_000):
        try: bpy.data.objects['Cup'].location.x += 0.25
        except Exception: pass
threading.Thread(target=move, daemon=True).start()
""",
        15,
        ATOMIC,
    ),
    code(
        "A15", "SIGSTOP to itself", "deadline", "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", 1.5, DEADLINE
    ),
    # ── what it plants in its folder ──
    *(
        code(
            id,
            f"in place of the saved file, {name}",
            kinds,
            MOVE
            + SAVER
            + f"""
def snapshot(file):
    {what}
    return {{"file": file, "bytes": 1}}
module.HANDLERS["snapshot"] = snapshot
""",
            15,
            PLAIN,
        )
        for id, name, kinds, what in (
            ("A16", "a link to a secret", "snapshot_failed", "os.symlink(T['folder'] + '/secret', file)"),
            ("A17", "a hard link to a secret", "snapshot_failed", "os.link(T['folder'] + '/secret', file)"),
            ("A18", "a pipe", "snapshot_failed", "os.mkfifo(file)"),
            ("A19", "a folder", "snapshot_failed", "os.mkdir(file)"),
            ("A20", "a link to a device that never ends", "snapshot_failed", "os.symlink('/dev/zero', file)"),
            ("A21", "a link to itself", "snapshot_failed", "os.symlink(file, file)"),
            ("A22", "nothing", "snapshot_failed", "pass"),
        )
    ),
    code(
        "A23",
        "its folder swapped for a link",
        "snapshot_failed committed",
        MOVE
        + SAVER
        + """
def snapshot(file):
    answer = save(file)
    here = os.getcwd()
    os.rename(here, here + "-away")
    os.symlink(T["folder"], here)
    return answer
module.HANDLERS["snapshot"] = snapshot
""",
        15,
        "the nanny, which holds the folder open",
    ),
    code(
        "A24",
        "a saved file that grows for ever",
        "snapshot_failed committed crashed",
        saving("""
    import threading
    def grow():
        while True:
            with open(path, 'ab') as file: file.write(bytes(1 << 20))
    threading.Thread(target=grow, daemon=True).start()"""),
        15,
        "the nanny's limit of a file",
    ),
    code(
        "A25",
        "a saved file that a thread rewrites and swaps while it is copied",
        "committed snapshot_failed",
        saving("""
    import threading
    def race():
        turn = 0
        while True:
            turn += 1
            try:
                with open(path + '.2', 'wb') as file: file.write(data if turn % 3 else data[:1000])
                os.replace(path + '.2', path)
                if turn % 5 == 0: os.symlink('/etc/passwd', path + '.3'); os.replace(path + '.3', path)
            except OSError: pass
    threading.Thread(target=race, daemon=True).start()"""),
        15,
        ATOMIC,
        ordinary=True,
    ),
    # ── what it changes around itself ──
    code(
        "A26",
        "another working folder",
        "snapshot_failed",
        """
import os
for place in (T["folder"], "/tmp", "/"):
    try: os.chdir(place); break
    except OSError: pass
"""
        + MOVE,
        15,
        "the nanny, which looks into the folder that it made",
    ),
    code(
        "A27",
        "a limit on files that nothing can be saved under",
        "snapshot_failed",
        MOVE + "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))",
        15,
        "the save that fails",
    ),
    code(
        "A28",
        "another umask, locale and time zone",
        "committed snapshot_failed",
        MOVE + "import os, locale, time\nos.umask(0o777); locale.setlocale(locale.LC_ALL, 'C')\n"
        "os.environ['TZ'] = 'Asia/Tokyo'; time.tzset()",
        15,
        NOBODY,
        lingers=True,
    ),
    code(
        "A29",
        "all descriptors closed",
        "crashed protocol_error exited deadline",
        MOVE + "import os; os.closerange(3, 256)",
        3,
        WIRED,
    ),
    code(
        "A30",
        "its folder deleted",
        "committed snapshot_failed crashed protocol_error deadline",
        MOVE + "import os, shutil; shutil.rmtree(os.getcwd(), ignore_errors=True)",
        15,
        "the save that fails",
    ),
    code(
        "A31",
        "save_mainfile(), as a user does",
        "committed",
        MOVE + "import os; bpy.ops.wm.save_mainfile(filepath=os.path.join(os.getcwd(), 'mine.blend'))",
        15,
        NOBODY,
    ),
    code(
        "A32",
        "open_mainfile() of a file of its own",
        "committed",
        MOVE + "import os\npath = os.path.join(os.getcwd(), 'mine.blend')\n"
        "bpy.ops.wm.save_as_mainfile(filepath=path, copy=True)\nbpy.ops.wm.open_mainfile(filepath=path)",
        15,
        NOBODY,
    ),
    done("A33", "read_factory_settings()", "violation", lying.factory_settings, STANDBY),
    # ── other Blenders ──
    reach(
        "A34",
        "another Blender's folder",
        """
import os
def look():
    others = [name for name in os.listdir("..") if name[0] == "w" and name != os.path.basename(os.getcwd())]
    if not others: raise OSError("no other is seen")
    open(f"../{others[0]}/x", "w").close()
attempt(look)
""",
        FILES,
    ),
    Row(
        "A35",
        "SIGKILL to all other Blenders of the pool",
        one_of("committed"),
        MOVE
        + """
import os
for name in os.listdir("/proc"):
    try:
        with open(f"/proc/{name}/cmdline", "rb") as file: said = file.read()
        mine = os.path.dirname(os.getcwd()).encode() + b"/w"
        if name.isdigit() and int(name) != os.getpid() and mine in said and b"bootstrap" in said: os.kill(int(name), 9)
    except OSError: pass
""",
        ends_by="walls (L2, L3); below that the pool, which boots others",
    ),
)
