"""Stands in for `run` of one row: does what the row's id says, at once. Called as a farm's engine calls a run.

done-N: hands over a scene.   broken-N: fails for good.   unfit-N: exit code 69.   later-N: 75 twice, then done.
crash-N: kills itself once, then done.   hang-N: never ends, and hears no signal.   sleep-N: ends when it is asked to.
"""

import itertools
import json
import os
import signal
import sys
import time
from pathlib import Path

OPTIONS = dict(itertools.pairwise(sys.argv))
"""Of each word, what follows it."""


def main():
    root = Path(OPTIONS["--out"])
    row = json.loads((root / "farm" / "manifest.jsonl").read_text().splitlines()[int(OPTIONS["--index"]) - 1])
    folder = root / row["id"]
    folder.mkdir(exist_ok=True)
    with (folder / "started").open("a") as started:
        started.write(f"{time.monotonic()}\n")
    times = len((folder / "started").read_text().splitlines())
    kind = row["id"].split("-")[0]
    if kind == "hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if kind in ("hang", "sleep"):
        print("ready", flush=True)
        time.sleep(600)
    if kind == "crash" and times == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "unfit":
        ended(folder, "status.json", state="stopped", failure_class="node", message="there is no Blender.")
        sys.exit(69)
    if kind == "later" and times < 3:
        ended(folder, "status.json", state="stopped", failure_class="api", message="the service is away.")
        sys.exit(75)
    if kind == "broken":
        ended(folder, "result.json", status="failed", exit_code=70, failure_class="bug", message="a defect.")
        sys.exit(70)
    ended(folder, "result.json", status="accepted", measures={"psnr_db": 20.0}, spent={"minutes": 0.1})


def ended(folder, name, **said):
    (folder / name).write_text(json.dumps(said))


main()
