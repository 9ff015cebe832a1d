"""How much of what a run's model was told came from the service's cache, by role: from the run's ledger.

.venv/bin/python bench/cache_share.py runs/NAME
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from pathlib import Path


def shares(ledger: Path) -> dict[str, tuple[int, float]]:
    """Role, and "all" → input tokens, and the part of them that was read from the cache."""
    tokens: dict[str, Counter[str]] = defaultdict(Counter)
    for line in ledger.read_text().splitlines():
        call = json.loads(line)
        for name in (call["place"]["role"], "all"):
            tokens[name].update(call["tokens"])
    told = {name: sum(by_kind.values()) - by_kind["output_tokens"] for name, by_kind in tokens.items()}
    return {name: (told[name], tokens[name]["cache_read_tokens"] / max(1, told[name])) for name in sorted(told)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    for name, (count, share) in shares(parser.parse_args().run / "ledger.jsonl").items():
        print(f"{name:12} {count:12,} input tokens, {share:6.1%} read from the cache")
