"""What tests of a farm share: a Slurm of our own that leaves nothing behind, and a batch on it as its owner sees it."""

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
from box_helpers import eventually
from needs import lacking
from scripted_runs import HERE, draw_box

from agent.errors import NodeUnfit
from agent.farm.manifest import read_manifest
from agent.farm.outcomes import outcomes
from agent.farm.slurm.loopback import Cluster, refuse_missing_programs

STUBBED = HERE / "run_stubbed.py"
QUICK = ("--preset", "quick", "--stages", "camera", "--no-standby", "--level", "L0")


@contextmanager
def a_cluster(**options):
    """With short runs in mind. Nothing of it is left: neither a process of Slurm's nor one of a job."""
    try:
        refuse_missing_programs()
    except NodeUnfit as error:
        lacking(str(error))
    with tempfile.TemporaryDirectory(prefix="slurm-") as name:
        folder = Path(name).resolve()
        try:
            with Cluster(folder, **options) as cluster:
                yield cluster
        finally:
            eventually(lambda: not in_folder(folder))


def in_folder(folder):
    """Processes that work in a cluster's folder or were told of it, by their command or their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            facts = [process.cwd(), *process.cmdline(), process.environ().get("SLURM_CONF", "")]
        except psutil.Error:
            continue
        if process.pid != os.getpid() and any(fact.startswith(str(folder)) for fact in facts):
            found.append(process)
    return found


class FarmBatch:
    """A batch of small pictures on a cluster, with the commands that its owner has."""

    def __init__(self, cluster, folder, rows=1, picture="box.png", title="rows", **environment):
        self.cluster, self.root, self.asked = cluster, folder / "batch", folder / "asked"
        self.folder, self._since = folder, {}
        self.ids = [f"row{number}" for number in range(1, rows + 1)]
        draw_box(folder / picture)
        self.manifest = folder / f"{title}.csv"
        self.manifest.write_text("id,image\n" + "".join(f'{name},"{picture}"\n' for name in self.ids))
        self.environment = {
            **cluster.environment,
            "PYTHONPATH": f"{HERE.parents[1]}{os.pathsep}{HERE}",
            "STAND_IN": str(folder),
            "ASKED": str(self.asked),
            "HOLD": str(folder / "hold"),
            **environment,
        }

    def farm(self, *arguments, **environment):
        return subprocess.run(
            [sys.executable, str(STUBBED), "farm", *map(str, arguments)],
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )

    def submit(self, *options, run=QUICK, **environment):
        """The numbers of the jobs of its rows."""
        asked = ("--memory", "512", "--cpus", "1")
        ended = self.farm("submit", self.manifest, "--out", self.root, *asked, *options, "--", *run, **environment)
        assert ended.returncode == 0, ended.stderr
        return self.jobs()

    def jobs(self):
        return json.loads((self.root / "farm" / "submission.json").read_text())["jobs"]

    def states(self):
        return [each.state for each in self.outcomes()]

    def outcomes(self):
        rows = read_manifest(self.root / "farm" / "manifest.jsonl").rows
        return outcomes(self.root, rows)

    def queue(self):
        """Task → state and reason, of all that Slurm still has."""
        lines = self.cluster.call("squeue", "--noheader", "--array", "--format=%i %T %r").splitlines()
        return {line.split()[0]: line.split(maxsplit=1)[1] for line in lines}

    def calls(self, row="row1", what="answered"):
        """What a row's model was asked, or has answered, in order."""
        lines = self.asked.read_text().splitlines() if self.asked.exists() else []
        return [key for name, done, key in map(str.split, lines) if (name, done) == (row, what)]

    def hold(self):
        """From now on runs wait for their third reply."""
        (self.folder / "hold").touch()

    def let_go(self):
        (self.folder / "hold").unlink()

    def until_held(self, row="row1", asked=3):
        self.until(lambda: len(self.calls(row, "asked")) >= asked, 60)

    def until_ended(self, patience_s=90, look=lambda queue: None):
        """Until the queue is empty and the report written; `look` is shown the queue meanwhile."""
        self.until(lambda: not self.queue(), patience_s, look)

    def until(self, condition, patience_s, look=lambda queue: None):
        """Poll; what was put back starts at once, without Slurm's two minutes."""
        deadline = time.monotonic() + patience_s
        while not condition():
            queue = self.queue()
            assert time.monotonic() < deadline, (queue, self.log())
            look(queue)
            self.start_requeued(queue)
            time.sleep(0.1)

    @contextmanager
    def node_killed(self, row="row1", **how):
        """The node where a row runs, until the end of the block; it is counted as down, in a while."""
        node = self.process(row).environ()["SLURMD_NODENAME"]
        self.cluster.kill_node(node, **how)
        try:
            yield
        finally:
            self.cluster.start(node)
            self.cluster.wait_for_nodes()

    def array(self, job):
        """The indices of a job's tasks, as the script says that was handed in for it."""
        said = self.cluster.call("scontrol", "write", "batch_script", job, "-")
        return next(line.partition("=")[2] for line in said.splitlines() if line.startswith("#SBATCH --array="))

    def ends(self):
        """Exit code and signal of each task of this batch that has ended, as Slurm noted them."""
        name = f"Name=seig-{self.manifest.stem} "
        lines = [line for line in (self.cluster.folder / "jobs.txt").read_text().splitlines() if name in line]
        return [line.partition(" ExitCode=")[2].split()[0] for line in lines]

    def start_requeued(self, queue):
        """Once what Slurm has to hear of their end has arrived: else it might take it for the end of the new start."""
        now = time.monotonic()
        waiting = [job for job, state in queue.items() if state == "PENDING BeginTime"]
        self._since = {job: self._since.get(job, now) for job in waiting}
        for job in (job for job in waiting if now - self._since[job] > 1):
            self.cluster.call("scontrol", "update", f"jobid={job}", "StartTime=now")

    def process(self, row="row1"):
        """The run of a row, not the shell that started it."""
        index = str(self.ids.index(row) + 1)
        return next(each for each in self.cluster.job_processes() if _arguments(each)[-2:] == ["--index", index])

    def log(self):
        return {path.name: path.read_text(errors="replace")[-1500:] for path in (self.root / "farm" / "logs").iterdir()}

    def assert_each_paid_once(self, interrupted=0):
        """No reply was asked for again; each is booked once, beside those calls that were under way at an end."""
        booked = 0
        for name in self.ids:
            answered = self.calls(name)
            assert len(answered) == len(set(answered)) > 0
            booked += len((self.root / name / "ledger.jsonl").read_text().splitlines()) - len(answered)
        assert booked == interrupted

    def assert_all_accepted(self):
        assert self.states() == ["accepted"] * len(self.ids), self.log()


def _arguments(process):
    try:
        return process.cmdline()
    except psutil.Error:
        return []
