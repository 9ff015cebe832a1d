"""What the faults share: a ground per level, the choice of levels, and the table of what came of it all."""

from pathlib import Path

import pytest

from tests.faults import levels, table
from tests.faults.ground import Ground
from tests.tables import write_into

_outcomes = {}
"""(table, id, level) → (word, whether it was expected)."""


def pytest_addoption(parser):
    parser.addoption("--write", default="", help="a Markdown file to write the tables of faults into")


@pytest.fixture(scope="session")
def noted():
    return _outcomes


@pytest.fixture(scope="module")
def grounds(tmp_path_factory):
    """Grounds by level and kind of Blender, one at a time, each made when it is needed first."""
    with Grounds(tmp_path_factory) as grounds:
        yield grounds


class Grounds:
    def __init__(self, folders):
        self._folders, self._key, self._ground = folders, None, None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.let_go()

    def at(self, level, kind="wheel"):
        if self._key != (level, kind):
            self.let_go()
            ground = Ground(level, self._folders.mktemp(f"{level}-{kind}-"), kind)
            self._ground, self._key = ground.__enter__(), (level, kind)
        return self._ground

    def let_go(self):
        """Also after a surprise, which may have left it in any state."""
        ground, self._ground, self._key = self._ground, None, None
        if ground is not None:
            ground.__exit__(None, None, None)


def pytest_collection_modifyitems(config, items):
    """Only what this machine can try; the levels one after the other, the two kinds of Blender too."""
    ours = [item for item in items if hasattr(item, "callspec") and {"row", "level"} <= item.callspec.params.keys()]
    if not ours:
        return
    away = [item for item in ours if item.callspec.params["level"] not in _tried(item.callspec.params["row"])]
    config.hook.pytest_deselected(items=away)
    everywhere = set(ours)
    ours = sorted(everywhere - set(away), key=_order)
    others = [item for item in items if item not in everywhere]
    items[:] = others + ours


def _tried(row):
    return row.levels(levels.offered())


def _order(item):
    params = item.callspec.params
    return item.path, params["level"], params["row"].kind, item.originalname, item.callspec.indices["row"]


def pytest_terminal_summary(terminalreporter, config):
    if not any(level for _, _, level in _outcomes):
        return
    from tests.faults import adversary, catalogue

    parts = []
    for title, rows in (("The catalogue", catalogue.ROWS), ("An adversary", adversary.ROWS)):
        of_table = {(id, level): found for (name, id, level), found in _outcomes.items() if name == title}
        if of_table:
            parts.append(f"## {title}\n\n{table.written([row for row in rows if _was_tried(row, of_table)], of_table)}")
    terminalreporter.section("faults")
    terminalreporter.write_line("\n".join(parts))
    if path := config.getoption("--write", ""):
        write_into(Path(path), "faults", "\n".join(parts))


def _was_tried(row, outcomes):
    return any(id == row.id for id, _ in outcomes)
