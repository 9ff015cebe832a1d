"""A Slurm of our own for tests: clusters that leave nothing behind, and a batch on one as its owner sees it."""

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
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
        with Cluster(folder, **options) as cluster:
            yield cluster
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

    def __init__(self, cluster, folder, rows=2, picture="box.png", **environment):
        self.cluster, self.root, self.asked = cluster, folder / "batch", folder / "asked"
        self.folder = folder
        self.ids = [f"row{number}" for number in range(1, rows + 1)]
        draw_box(folder / picture)
        self.manifest = folder / "rows.csv"
        self.manifest.write_text("id,image\n" + "".join(f'{name},"{picture}"\n' for name in self.ids))
        self.environment = {
            **cluster.environment,
            "PYTHONPATH": f"{HERE.parents[1]}{os.pathsep}{HERE}",
            "STAND_IN": str(folder),
            "ASKED": str(self.asked),
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

    def calls(self):
        """What the model was asked, as (row, request), in order."""
        if not self.asked.exists():
            return []
        return [(Path(folder).name, key) for folder, key in map(str.split, self.asked.read_text().splitlines())]

    def until_asked(self, row="row1", calls=2):
        eventually(lambda: sum(name == row for name, _ in self.calls()) >= calls, 40)

    def until_ended(self, patience_s=90):
        """Until the queue is empty, the report written; what was put back starts at once, without Slurm's 2 minutes."""
        deadline = time.monotonic() + patience_s
        while queue := self.queue():
            assert time.monotonic() < deadline, (queue, self.log())
            self.start_requeued(queue)
            time.sleep(0.2)

    def start_requeued(self, queue):
        for job, state in queue.items():
            if state == "PENDING BeginTime":
                self.cluster.call("scontrol", "update", f"jobid={job}", "StartTime=now")

    def processes(self, row="row1"):
        """The runs of a row: not the shells that started them."""
        found = []
        for process in self.cluster.job_processes():
            try:
                if (
                    f"--index {self.ids.index(row) + 1}" in " ".join(process.cmdline())
                    and "slurm_script" not in process.name()
                ):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def log(self):
        return {path.name: path.read_text(errors="replace")[-1500:] for path in (self.root / "farm" / "logs").iterdir()}

    def assert_each_paid_once(self):
        """No call is in a row's ledger twice, nor was the model asked twice for what it had answered."""
        for name in self.ids:
            ledger = [json.loads(line) for line in (self.root / name / "ledger.jsonl").read_text().splitlines()]
            places = [json.dumps(entry["place"]) for entry in ledger]
            assert len(places) == len(set(places))

    def assert_all_accepted(self):
        assert self.states() == ["accepted"] * len(self.ids), self.log()


@pytest.fixture(scope="module")
def cluster():
    with a_cluster(licenses="vlm:2") as cluster:
        yield cluster


@pytest.fixture
def a_batch(cluster, tmp_path):
    """Makes batches on the module's cluster, and ends what a test leaves in the queue."""

    def make(rows=2, on=cluster, **environment):
        return FarmBatch(on, tmp_path, rows, **environment)

    yield make
    cluster.call("scancel", "--user", str(os.getuid()))
    eventually(lambda: not cluster.call("squeue", "--noheader"))
    eventually(lambda: not cluster.job_processes())
