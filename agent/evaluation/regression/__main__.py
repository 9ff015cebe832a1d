"""`python -m agent.evaluation.regression FOLDER`, in Blender's wheel: renders the set into FOLDER/NAME/."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from agent.errors import NodeUnfit, RunError, UsageError
from agent.evaluation.regression.models import MODELS
from agent.evaluation.regression.shooting import Quality, shoot

LICENCE = """\
These models and pictures are the project's own, made by agent/evaluation/regression/ from nothing but its own code.
They are dedicated to the public domain under CC0 1.0: https://creativecommons.org/publicdomain/zero/1.0/
"""


def main() -> int:
    sys.stdout = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # where Blender itself writes of each tile
    try:
        _make(_arguments())
    except RunError as error:
        print(f"regression set: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="regression-set", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", action="append", metavar="NAME", help="render this scene alone; may be repeated")
    parser.add_argument("--seed", type=int, default=0, help="another seed makes other scenes of the same kind")
    parser.add_argument(
        "--long-px", type=int, default=512, help="longer side of the reference; novel views have 3/4 of it"
    )
    parser.add_argument("--samples", type=int, default=64)
    return parser.parse_args()


def _make(asked: argparse.Namespace) -> None:
    names = [model.name for model in MODELS]
    if unknown := sorted(set(asked.only or ()) - set(names)):
        raise UsageError(f"there is no scene {unknown[0]!r}.", f"There are {', '.join(names)}.")
    if not (16 <= asked.long_px <= 4096 and 1 <= asked.samples <= 65536):
        raise UsageError("--long-px is 16 to 4096, and --samples 1 to 65536.")
    quality = Quality(asked.long_px, asked.samples)
    try:
        asked.folder.mkdir(parents=True, exist_ok=True)
        (asked.folder / "LICENCE.txt").write_text(LICENCE, encoding="utf-8")
        for model in (model for model in MODELS if model.name in (asked.only or names)):
            begun = time.monotonic()
            shoot(model, asked.folder / model.name, asked.seed, quality)
            print(f"{asked.folder / model.name}: {time.monotonic() - begun:.0f} s", flush=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise NodeUnfit(f"cannot write the set to {asked.folder}: {reason}.", "Name another folder: DIR=…") from None


if __name__ == "__main__":
    sys.exit(main())
