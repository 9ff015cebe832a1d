"""Owns the soak of a farm: runs on a Slurm of our own where a seeded dice kills Blenders, nannies, agents and nodes,
and whether each still comes to the end that it comes to when it is left alone.

make farm-soak N=40
"""

import argparse
import contextlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fakes"))

import psutil
from PIL import Image, ImageOps

from agent.errors import RunError
from agent.farm.manifest import read_manifest
from agent.farm.outcomes import outcomes
from agent.farm.slurm.loopback import Cluster
from agent.runs.journal import read_journal
from agent.runs.lease import read_holder
from agent.runs.stopping import stopping
from sandbox.folders import ROOT
from tests.tables import write_into

RUN = ("--preset", "quick", "--model", "offline", "--max-attempts", "100", "--threads", "1")
"""With as many threads everywhere: the order of a mesh's edges depends on them."""
KILLS = {"Blender": 5, "nanny": 3, "agent": 5, "node": 2, "node's daemon": 2}
"""What is killed → how often, beside the others."""
BETWEEN_S = 6.0
"""From one kill to the next, on average."""
MOST_PER_ROW = 4
NODE_AWAY_S = 4.0
HAND_IN_AT_MOST = 5
SEIG = (sys.executable, "-m", "agent")


@dataclass
class Figures:
    """What a soak came to; `wrong` says what should not be, and is empty when all is well."""

    rows: int
    pictures: int
    seed: int
    kills: Counter = field(default_factory=Counter)
    attempts: list = field(default_factory=list)
    states: Counter = field(default_factory=Counter)
    calls: int = 0
    lost: int = 0
    alone_s: float = 0.0
    seconds: float = 0.0
    handed_in: int = 1
    wrong: list = field(default_factory=list)

    def text(self):
        mean, most = sum(self.attempts) / len(self.attempts), max(self.attempts)
        killed = ", ".join(f"{count} {what}" for what, count in self.kills.most_common()) or "nothing"
        states = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in self.states.most_common())
        rows = (
            ("rows, of so many pictures", f"{self.rows}, of {self.pictures}"),
            ("killed with SIGKILL", f"{sum(self.kills.values())}: {killed}"),
            ("how the rows ended", states),
            ("attempts of a row, mean and most", f"{mean:.1f}, {most}"),
            ("times that the batch was handed in", self.handed_in),
            ("model calls answered, and under way when an agent was killed", f"{self.calls}, {self.lost}"),
            ("a row's wall clock, left alone and here, s", f"{self.alone_s:.0f}, {self.seconds / self.rows:.0f}"),
        )
        table = "| | |\n|---|---|\n" + "".join(f"| {name} | {value} |\n" for name, value in rows)
        verdict = "; ".join(self.wrong) or "every scene, program and render as when left alone; nothing was left behind"
        return f"Seed {self.seed}, {self.seconds / 60:.0f} minutes: {verdict}.\n\n{table}"


# ── pictures ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def pictures_in(folder):
    """The examples, as they are, mirrored, and with their colours exchanged."""
    for path in sorted((ROOT / "examples").glob("*.png")):
        with Image.open(path) as opened:
            picture = opened.convert("RGBA")
        red, green, blue, alpha = picture.split()
        variants = {"": picture, "-mirrored": ImageOps.mirror(picture)}
        variants["-recoloured"] = Image.merge("RGBA", (blue, red, green, alpha))
        for name, variant in variants.items():
            variant.save(folder / f"{path.stem}{name}.png")
    return sorted(folder.glob("*.png"))


def manifest_of(path, pictures, rows):
    """Pictures in turn: row 1 is the first one's, as is row 1 + the number of pictures."""
    lines = [{"id": f"{number + 1:03d}", "image": str(pictures[number % len(pictures)])} for number in range(rows)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


# ── the dice ──────────────────────────────────────────────────────────────────────────────────────────────────────────
class Killer:
    """Ends something that runs, now and then; a node comes back after a while."""

    def __init__(self, cluster, dice, figures):
        self.cluster, self.dice, self.figures = cluster, dice, figures
        self.hits, self._away = Counter(), {}
        self._next = time.monotonic() + self._pause_s()

    def __call__(self):
        for node, back in list(self._away.items()):
            if time.monotonic() > back:
                del self._away[node]
                self.cluster.start(node)
        if time.monotonic() > self._next and (runs := self._runs()):
            self._next = time.monotonic() + self._pause_s()
            what = self.dice.choices(list(KILLS), list(KILLS.values()))[0]
            index, run = self.dice.choice(runs)
            with contextlib.suppress(psutil.Error):
                self._kill(what, index, run)

    def end(self):
        for node in self._away:
            self.cluster.start(node)

    def _pause_s(self):
        return self.dice.expovariate(1 / BETWEEN_S)

    def _runs(self):
        """Index and process of each run that may be hit again."""
        found = []
        for process in self.cluster.job_processes():
            with contextlib.suppress(psutil.Error):
                words = process.cmdline()
                if words[-2:-1] == ["--index"] and self.hits[words[-1]] < MOST_PER_ROW:
                    found.append((words[-1], process))
        return sorted(found, key=lambda each: (each[0], each[1].pid))

    def _kill(self, what, index, run):
        if what.startswith("node"):
            node = run.environ()["SLURMD_NODENAME"]
            if self._away:
                return  # the other one has to do the work
            self.cluster.kill_node(node, with_jobs=what == "node")
            self._away[node] = time.monotonic() + NODE_AWAY_S * (1 + 2 * self.dice.random())
        else:
            words = {"Blender": "bootstrap.py", "nanny": "nanny/__main__.py"}
            if what == "agent":
                run.kill()
            else:
                below = [each for each in run.children(recursive=True) if words[what] in " ".join(each.cmdline())]
                self.dice.choice(below).kill() if below else None
                if not below:
                    return
        self.hits[index] += 1
        self.figures.kills[what] += 1


# ── the soak ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def soak(rows, seed, pictures, folder, blender):
    figures, dice = Figures(rows, len(pictures), seed), random.Random(seed)
    scratch = folder / "scratch"
    scratch.mkdir()
    run, alone = [*RUN, *(("--blender", blender) if blender else ())], folder / "alone"
    figures.alone_s = _left_alone(folder, alone, pictures[:rows], run, figures)
    began = time.monotonic()
    settings = {"SlurmdTimeout": "5", "MinJobAge": "3600"}
    with Cluster(folder / "slurm", licenses="vlm:2", settings=settings) as cluster:
        cluster.environment["TMPDIR"] = str(scratch)
        _disturbed(cluster, folder, manifest_of(folder / "soak.jsonl", pictures, rows), run, dice, figures)
        if left := cluster.job_processes():
            figures.wrong.append(f"processes are left: {left}")
    figures.seconds = time.monotonic() - began
    _judge(folder, alone, scratch, len(pictures), figures)
    return figures


def _left_alone(folder, root, pictures, run, figures):
    """Each picture once, on this machine; seconds of a row."""
    began = time.monotonic()
    manifest = manifest_of(folder / "alone.jsonl", pictures, len(pictures))
    command = [*SEIG, "batch", str(manifest), "--out", str(root), "--", *run]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        figures.wrong.append(f"the rows that were left alone ended with {done.returncode}")
    print(f"{len(pictures)} rows left alone took {time.monotonic() - began:.0f} s", flush=True)
    return (time.monotonic() - began) / len(pictures)


def _disturbed(cluster, folder, manifest, run, dice, figures):
    root, killer = folder / "soak", Killer(cluster, dice, figures)
    asked = ["--licenses", "vlm:1", "--memory", "1024", "--cpus", "1"]
    _farm(cluster, "submit", manifest, "--out", root, *asked, "--", *run)
    rows, said = read_manifest(root / "farm" / "manifest.jsonl").rows, ""
    while True:
        while queue := cluster.call("squeue", "--noheader", "--array", "--format=%i %T %r").splitlines():
            for job, _, reason in (line.split(maxsplit=2) for line in queue):
                if reason == "BeginTime":  # Slurm's two minutes until a second try
                    cluster.call("scontrol", "update", f"jobid={job}", "StartTime=now")
            killer()
            final = sum(each.is_final for each in outcomes(root, rows))
            if (now := f"{final} of {len(rows)} rows final, {sum(figures.kills.values())} kills") != said:
                print(now, flush=True)
                said = now
            time.sleep(0.5)
        if final == len(rows) or figures.handed_in == HAND_IN_AT_MOST:
            break
        figures.handed_in += 1
        _farm(cluster, "retry", root)
    killer.end()


def _farm(cluster, *words):
    command = [*SEIG, "farm", *map(str, words)]
    done = subprocess.run(command, env=cluster.environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RunError(f"farm {words[0]} ended with {done.returncode}: {done.stderr}")


def _judge(folder, alone, scratch, pictures, figures):
    root = folder / "soak"
    for number, outcome in enumerate(outcomes(root, read_manifest(root / "farm" / "manifest.jsonl").rows)):
        figures.states[outcome.state] += 1
        figures.attempts.append(outcome.attempts)
        name = f"row {outcome.id}"
        if not outcome.is_final:
            figures.wrong.append(f"{name} is {outcome.state}: {outcome.message}")
            continue
        twin = alone / f"{number % pictures + 1:03d}"
        figures.wrong += [f"{name}: its {what} differs" for what in differing(outcome.folder, twin)]
        if (holder := read_holder(outcome.folder)) is None or not holder.released:
            figures.wrong.append(f"{name}: its lease is held")
        figures.wrong += [f"{name}: {file.name} is left" for file in outcome.folder.rglob(".part-*")]
        _count(outcome.folder, name, figures)
    if remains := [each.name for each in scratch.iterdir()]:
        figures.wrong.append(f"scratch folders are left: {', '.join(remains)}")


def differing(folder, twin):
    """What of two results is not the same."""
    if not (folder / "scene.py").exists() or not (twin / "scene.py").exists():
        yield "existence"
        return
    if (folder / "scene.py").read_bytes() != (twin / "scene.py").read_bytes():
        yield "program"
    if fingerprint(folder) != fingerprint(twin):
        yield "scene"
    with Image.open(folder / "render.png") as one, Image.open(twin / "render.png") as other:
        if one.tobytes() != other.tobytes():
            yield "render"
    results = [json.loads((each / "result.json").read_text()) for each in (folder, twin)]
    for what in ("status", "stages", "measures"):
        if results[0][what] != results[1][what]:
            yield what


def fingerprint(folder):
    """Of the delivered scene, by factor, as its Blender took it."""
    snapshot = json.loads((folder / "result.json").read_text())["snapshot"]
    return json.loads((folder / "snapshots" / f"{snapshot}.json").read_text())["fingerprint"]


def _count(folder, name, figures):
    """Replies by their step: each once in the record, however often its row was begun."""
    events = list(read_journal(folder / "journal.jsonl"))
    replies = [event["key"] for event in events if event["event"] == "step" and event["key"].startswith("reply/")]
    lost = sum(event["event"] == "lost" for event in events)
    booked = len((folder / "ledger.jsonl").read_text().splitlines())
    figures.calls += len(replies)
    figures.lost += booked - len(replies)
    if len(replies) != len(set(replies)):
        figures.wrong.append(f"{name}: a reply was asked for twice")
    if booked - len(replies) > lost:
        figures.wrong.append(f"{name}: {booked} calls are booked, {len(replies)} answered and {lost} lost")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("rows", type=int, nargs="?", default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pictures", type=Path, help="a folder of PNG files; default: variants of the examples")
    parser.add_argument("--blender", help="as run takes it")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="an empty folder for the runs; default: removed")
    parser.add_argument("--write", type=Path, help="a Markdown file to write the figures into")
    options = parser.parse_args()
    try:
        with stopping(), contextlib.ExitStack() as lifetime:
            name = lifetime.enter_context(tempfile.TemporaryDirectory(prefix="seig-soak-"))
            folder = options.keep or Path(name)
            (folder / "slurm").mkdir(parents=True)
            (folder / "pictures").mkdir()
            own = options.pictures and sorted(options.pictures.absolute().glob("*.png"))
            pictures = own or pictures_in(folder / "pictures")
            figures = soak(options.rows, options.seed, pictures, folder.absolute(), options.blender)
    except RunError as error:
        print(f"farm-soak: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    print(figures.text())
    if options.write:
        write_into(options.write, "farm soak", figures.text())
    sys.exit(bool(figures.wrong))


if __name__ == "__main__":
    main()
