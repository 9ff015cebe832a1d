"""What `make matrix` makes of tests that fail or tell nothing: an exit code that says so, and nothing is written."""

import pytest

from tests.matrix import __main__ as matrix

PLACE = "before\n<!-- matrix -->\nas it was\n<!-- end of matrix -->\nafter\n"


@pytest.fixture
def across(tmp_path, monkeypatch):
    """`across(source)` is the exit code, and the document, of a matrix of no Blender and these tests across several."""
    document, tests = tmp_path / "table.md", tmp_path / "test_across.py"
    monkeypatch.setattr(matrix, "WANTED", ())
    monkeypatch.setattr(matrix, "ACROSS", str(tests))
    monkeypatch.setattr(matrix, "_found", lambda only: {})

    def tried(source):
        document.write_text(PLACE)
        tests.write_text(source)
        return matrix.main(["--write", str(document)]), document.read_text()

    return tried


def test_what_passes_is_written_down(across):
    code, document = across("def test_one_goes_to_another():\n    pass\n")
    assert code == 0
    assert "one goes to another | 1 passed" in document and "as it was" not in document


@pytest.mark.parametrize(
    "source",
    [
        "def test_it():\n    assert False\n",
        "import pytest\ndef test_it():\n    pytest.skip('not here')\n",
        "nothing = 'is tested'\n",
        "import os\ndef test_it():\n    os._exit(0)\n",
    ],
    ids=["fails", "is skipped", "no test", "no report"],
)
def test_what_fails_or_tells_nothing_is_a_failure_and_the_table_stays_as_it_was(across, capsys, source):
    assert across(source) == (1, PLACE)
    assert "stays as it is" in capsys.readouterr().err


def test_what_does_not_end_is_ended_and_is_a_failure(across, capsys, monkeypatch):
    monkeypatch.setattr(matrix, "LONGEST_S", 3)
    assert across("import time\ndef test_it():\n    time.sleep(600)\n") == (1, PLACE)
    assert "not finished in 0.05 minutes" in capsys.readouterr().out
