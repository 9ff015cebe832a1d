"""Makes a recording of a finished run: what a replay needs, small enough to be kept beside the code. Usage:

.venv/bin/python bench/pack_recording.py runs/NAME examples/NAME_run
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from agent.runs.recording import pack


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("target", type=Path)
    options = parser.parse_args()
    pack(options.run, options.target)
    print(f"{options.target / 'journal.jsonl'}: {(options.target / 'journal.jsonl').stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
