"""The command line with a scripted model and a stand-in for Blender: a whole run in a second or two, for tests of what
is around runs. In the environment:

STAND_IN: a folder for the stand-in's program, which all runs share; needed where ROW_BLENDER is not given.
ASKED: a file to which each model call adds two lines, when it was asked and when it was answered.
HOLD: a file; while it exists, the model answers no more than a run's first two calls, however often it is resumed.
UNFIT: the name of a node of Slurm's where there is no Blender.
DEFECT: a file; while it exists, each run removes it and ends as one does that meets a defect of the program.
ROW_BLENDER: the real Blender to use instead.

`farm submit` and its like write this program into what they hand to an engine, as they would `seig`.
"""

import builtins
import contextlib
import io
import os
import sys
import time
import types
from pathlib import Path

from fake_blender import adding, fake
from scripted_model import BUILD, GRAPH, ScriptedModel

ANSWERED = 2
AT_BOOT = "import run_stubbed; run_stubbed.furnish(server)"
NAMES = tuple(node["name"] for node in GRAPH["nodes"])
CODE = "import bpy\nscene = bpy.stand_in.scene\n" + "".join(map(adding, NAMES))
SCRIPT = {
    ("decomposition", "decomposer"): BUILD["decomposition", "decomposer"],
    ("initialisation", "generator"): [
        ("submit_plan", {"plan": "box, then lid"}),
        ("run_code", {"purpose": "build", "code": CODE}),
    ],
}


# ── inside the stand-in ───────────────────────────────────────────────────────────────────────────────────────────────
class Anything(types.ModuleType):
    """A `bpy` that agrees to whatever is done with it."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *given, **named):
        return self

    def __getitem__(self, key):
        return self

    def __setitem__(self, key, value):
        self.stand_in.scene["factors"]["view"]["scene:Scene"] = str(key)

    def __iter__(self):
        return iter(())

    def __int__(self):
        return 0

    __float__ = __index__ = __int__


def furnish(server):
    """Give the stand-in what whole runs need beside single edits."""
    sys.modules["bpy"] = builtins.bpy = bpy = Anything("bpy")
    bpy.stand_in = server
    server.instead["render"] = "import run_stubbed; run_stubbed.render(server, id, **body)"
    server.instead["inspect"] = "import run_stubbed; run_stubbed.inspect(server, id)"


def render(server, id, width_px, height_px, samples, engine, **_):
    from PIL import Image, ImageDraw

    picture = Image.new("RGBA", (width_px, height_px), (0, 0, 0, 0))
    box = (width_px // 3, height_px // 3, 2 * width_px // 3, 2 * height_px // 3)
    ImageDraw.Draw(picture).rectangle(box, fill=(150, 40, 40, 255))
    data = io.BytesIO()
    picture.save(data, "PNG")
    made = {"engine": engine, "samples": samples, "device": "CPU", "denoised": True}
    body = {"width_px": width_px, "height_px": height_px, "duration_s": 0.0, "made": made}
    server.reply(id, "render", body, payloads=(data.getvalue(),))


def inspect(server, id):
    objects = [{"name": name, "type": "MESH", "in_frame": 1.0} for name in sorted(server.scene["objects"])]
    server.reply(id, "inspect", {"what": {"objects": objects, "camera": {"name": "Camera"}}})


# ── the command line ──────────────────────────────────────────────────────────────────────────────────────────────────
class HeldModel(ScriptedModel):
    folder: Path

    def reply(self, request):
        if defect := os.environ.get("DEFECT"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(defect)
                raise ZeroDivisionError("a defect")
        self._note("asked", request)
        while os.path.exists(os.environ.get("HOLD", "")) and self._answered() >= ANSWERED:
            time.sleep(0.05)
        self._note("answered", request)
        return super().reply(request)

    def _note(self, what, request):
        from agent.models.base import reply_key

        with open(os.environ["ASKED"], "a") as file:
            file.write(f"{self.folder.name} {what} {reply_key(request)}\n")

    def _answered(self):
        return Path(os.environ["ASKED"]).read_text().count(f"{self.folder.name} answered ")


def main():
    from agent import cli, commands, opening
    from agent.errors import NodeUnfit
    from agent.farm import commands as farm

    def model(config):
        return HeldModel(BUILD if "ROW_BLENDER" in os.environ else SCRIPT)

    def begun(folder, config, reference, model, *more):
        model.folder = folder.path
        return _begun(folder, config, reference, model, *more)

    _begun, opening._begun = opening._begun, begun
    commands.make_model = model
    farm.row_command = lambda *options: [sys.executable, __file__, "run", *options]
    if "ROW_BLENDER" in os.environ:
        os.environ["BLENDER"] = os.environ["ROW_BLENDER"]
        cli.main()
    stand_in = fake(Path(os.environ["STAND_IN"]), at_boot=AT_BOOT)

    def found(*_):
        if os.environ.get("UNFIT", "") == os.environ.get("SLURMD_NODENAME"):
            raise NodeUnfit("there is no Blender here.", "Install one.")
        return stand_in

    commands.find_blender = commands.to_go_on = found
    cli.main()


if __name__ == "__main__":
    main()
