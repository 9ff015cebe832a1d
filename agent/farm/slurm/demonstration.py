"""Runs a manifest from start to end on a small Slurm of our own, as it would on a real one: `make farm-local`.

python -m agent.farm.slurm.demonstration [MANIFEST] [--out DIR] [--nodes N] [--slots N] [-- options of run]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from agent.errors import RunError, UsageError
from agent.farm.batch import open_batch
from agent.farm.outcomes import outcomes
from agent.farm.slurm.loopback import Cluster
from agent.runs.stopping import stopping
from sandbox.folders import ROOT

LOOK_S = 2.0


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    try:
        with stopping(), tempfile.TemporaryDirectory(prefix="seig-slurm-") as folder:
            manifest = options.manifest or _examples(Path(folder))
            root = options.out or ROOT / "runs" / f"farm-{manifest.stem}"
            with Cluster(Path(folder), nodes=options.nodes, licenses=f"vlm:{options.slots}") as cluster:
                print(f"Slurm runs on loopback with {options.nodes} nodes; its files are in {folder}", flush=True)
                return _run(cluster, manifest, root, options.run)
    except RunError as error:
        print(f"seig: {error}", file=sys.stderr)
        return error.exit_code


def _examples(folder: Path) -> Path:
    """A manifest of the pictures that come with this program. Raises UsageError where it came without."""
    pictures = sorted((ROOT / "examples").glob("*.png"))
    if not pictures:
        raise UsageError("there are no examples here.", "Name a manifest.")
    manifest = folder / "examples.jsonl"
    rows = [json.dumps({"id": picture.stem, "image": str(picture)}) for picture in pictures]
    manifest.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return manifest


def _run(cluster: Cluster, manifest: Path, root: Path, run: Sequence[str]) -> int:
    farm = [sys.executable, "-m", "agent", "farm"]
    asked = ["--licenses", "vlm:1", "--gres", "blender:1", "--memory", "2048"]
    submitted = _call(cluster, [*farm, "submit", str(manifest), "--out", str(root), *asked, "--", *run])
    if submitted != 0:
        return submitted
    batch, said = open_batch(root), ""
    while cluster.call("squeue", "--noheader", "--format=%i"):
        found = outcomes(batch.root, batch.rows)
        now = ", ".join(f"{each.id} {each.state} {each.percent:.0f} %" for each in found if each.state == "running")
        line = f"{sum(each.is_final for each in found)} of {len(found)} rows final" + (f"; {now}" if now else "")
        if line != said:
            print(line, flush=True)
            said = line
        time.sleep(LOOK_S)
    return _call(cluster, [*farm, "status", str(root)])


def _call(cluster: Cluster, command: list[str]) -> int:
    return subprocess.run(command, env=cluster.environment, stdin=subprocess.DEVNULL, check=False).returncode


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A manifest from start to end on a small Slurm of our own.")
    parser.add_argument("manifest", nargs="?", metavar="MANIFEST", type=_path, help="default: the examples")
    parser.add_argument("--out", metavar="DIR", type=_path, help="default: runs/farm-<the manifest's name>")
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--slots", type=int, default=2, help="rows that may ask the model's service at once")
    own = list(arguments)
    split = own.index("--") if "--" in own else len(own)
    options = parser.parse_args(own[:split])
    options.run = own[split + 1 :]
    return options


def _path(text: str) -> Path:
    return Path(text).absolute()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
