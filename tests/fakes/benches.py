"""A workbench as the pipeline has it, on a real Blender, without a model: what tests of the tools share."""

import contextlib
import io
import json

from box_helpers import real_pool
from PIL import Image

from agent.config import Config
from agent.console import Console
from agent.delivery import begin
from agent.models.base import Picture, ToolCall
from agent.picture import read_reference
from agent.runs.budget import Ledger
from agent.runs.folder import RunFolder
from agent.runs.journal import Journal
from agent.runs.room import Room
from agent.runs.run import Run
from agent.scene_graph import SceneGraph
from agent.tools.table import Toolbox
from agent.tools.workbench import Workbench


@contextlib.contextmanager
def opened_run(kind, picture, folder, **settings):
    """A run on the first Blender of a kind ("wheel", "binary"), with a folder of its own."""
    path = RunFolder(folder)
    path.prepare()
    picture.save(folder / "given.png")
    config = Config(**settings)
    with contextlib.ExitStack() as lifetime:
        pool = lifetime.enter_context(real_pool(kind, config.limits.of_any_process(), folder))
        journal = Journal(folder)
        lifetime.callback(journal.close)
        ledger, console = Ledger(path.ledger, config.budget), Console(stream=io.StringIO())
        yield Run(
            config=config,
            reference=read_reference(folder / "given.png", config.target_px),
            folder=path,
            journal=journal,
            ledger=ledger,
            console=console,
            room=Room(folder, config.disk, console, ledger.leave_out),
            model=None,
            blender=pool.blender,
            store=pool.store,
            pool=pool,
        )


def graph_of(*nodes):
    """A scene graph of parts: names, or nodes as tables."""
    whole = [{"name": node} if isinstance(node, str) else node for node in nodes]
    return SceneGraph.model_validate(
        {"environment": "", "nodes": [{"kind": "part", "description": node["name"], **node} for node in whole]}
    )


def bench_of(run, graph):
    return Workbench(run, graph, begin(run))


class Desk:
    """One role in one stage with its tools, as a conversation uses them."""

    def __init__(self, bench, role="generator"):
        self.bench = bench
        self.toolbox = Toolbox(bench.stage.name, role, bench)

    def use(self, name, /, **given):
        """The outcome of a call, followed as a conversation follows it."""
        outcome = self.toolbox.use(ToolCall(id="1", name=name, input=given))
        self.bench.follow(outcome)
        return outcome

    def run(self, code):
        return self.use("run_code", purpose="a test", code=code)


def facts(outcome):
    return json.loads(outcome.content[0].text)


def pictures(outcome):
    found = [block.png for block in outcome.content if isinstance(block, Picture)]
    return [Image.open(io.BytesIO(png)).convert("RGBA") for png in found]
