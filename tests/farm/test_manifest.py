"""A manifest is taken as a whole or refused with its line, the reason and the way out."""

import json
import time

import pytest

from agent.errors import InputUnreadable, RunError, UsageError
from agent.farm.manifest import read_manifest, refuse_missing_pictures
from agent.farm.path_map import read_path_map


@pytest.fixture
def write(tmp_path):
    def write(text, name="rows.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def refusal(path):
    with pytest.raises(RunError) as caught:
        read_manifest(path)
    return caught.value


def test_rows_have_an_index_an_id_a_picture_and_settings(write, tmp_path):
    rows = read_manifest(write("image,seed,preset,budget.usd\na/chair.png,7,quick,1.5\nb.jpg,,,\n")).rows
    assert [(row.index, row.id, row.image, row.seed) for row in rows] == [
        (1, "chair", tmp_path / "a" / "chair.png", 7),
        (2, "b", tmp_path / "b.jpg", None),
    ]
    assert [row.settings for row in rows] == [{"preset": "quick", "budget.usd": 1.5}, {}]


def test_json_lines_say_the_same_as_csv(write):
    from_csv = read_manifest(write("id,image,preset\none,a.png,quick\n"))
    from_json = read_manifest(write('{"id": "one", "image": "a.png", "settings": {"preset": "quick"}}\n', "rows.jsonl"))
    assert (from_csv.rows, from_csv.digest) == (from_json.rows, from_json.digest)


def test_what_spreadsheets_write_is_read(write):
    rows = read_manifest(write('\ufeffid, image\r\n"one","a, b.png"\r\n')).rows
    assert [(row.id, row.image.name) for row in rows] == [("one", "a, b.png")]


def test_empty_columns_at_the_end_of_lines_mean_nothing(write):
    assert [row.id for row in read_manifest(write("image,seed,,\na.png,1,,\nb.png,,,\n")).rows] == ["a", "b"]


def test_another_row_makes_another_digest(write):
    first = read_manifest(write("image\na.png\nb.png\n")).digest
    assert first == read_manifest(write("image\na.png\nb.png\n", "copy.csv")).digest
    assert first != read_manifest(write("image\nb.png\na.png\n", "other.csv")).digest


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no rows"),
        ("image,seed\n", "has no rows"),
        ("picture\na.png\n", "no column 'image', only 'picture'"),
        ("image,image\na,b\n", "two columns 'image'"),
        ("id,image\nx,a.png\nX,b.png\n", "line 3: the id 'X' is taken by line 2"),
        ("image\na/chair.png\nb/chair.png\n", "line 3: the id 'chair' is taken by line 2"),
        ("id,image\n../up,a.png\n", "'../up' cannot name a folder"),
        ("id,image\nFarm,a.png\n", "'Farm' is the name of a file of the batch's own"),
        ("id,image\n" + "x" * 81 + ",a.png\n", "cannot name a folder"),
        ("id,image\nx,\n", "line 2: names no picture"),
        ("image,seed\na.png,many\n", "the seed 'many' is no whole number"),
        ("image\na.png,b.png\n", "line 2: has more fields than columns"),
        ('image\n"a.png\n', "unexpected end of data. Correct the quotes"),
    ],
)
def test_bad_rows_are_refused_with_their_line(write, text, said):
    error = refusal(write(text))
    assert said in str(error) and error.exit_code == 64


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"image": "a.png"\n', "line 1: no JSON"),
        ('["a.png"]\n', "line 1: is no object"),
        ('{"image": "a.png", "pictur": 1}\n', "'pictur' is not known"),
        ('{"image": "a.png", "settings": 1}\n', "its settings are no object"),
        ('{"image": 3}\n', "names no picture"),
    ],
)
def test_bad_json_is_refused_with_its_line(write, text, said):
    error = refusal(write(text, "rows.jsonl"))
    assert said in str(error) and error.exit_code == 64


def test_another_encoding_is_named_with_the_place(write):
    error = refusal(write("image\nmöbel.png\n".encode("latin-1")))
    assert "no UTF-8 text (byte 8)" in str(error) and error.exit_code == 65


def test_a_manifest_that_is_not_there_is_told(tmp_path):
    assert "no such file" in str(refusal(tmp_path / "none.csv"))


def test_missing_pictures_are_told_together(write):
    path = write("image\n" + "".join(f"{number}.png\n" for number in range(8)))
    with pytest.raises(InputUnreadable, match=r"8 pictures .* \(row 5\) and 3 more") as caught:
        refuse_missing_pictures(path, read_manifest(path).rows)
    assert caught.value.exit_code == 65


def test_a_hundred_thousand_rows_are_read_quickly_and_one_more_is_refused(write):
    began = time.monotonic()
    assert len(read_manifest(write("image\n" + "".join(f"{n}.png\n" for n in range(100_000)))).rows) == 100_000
    assert time.monotonic() - began < 20
    assert "Split it" in str(refusal(write("image\n" + "".join(f"{n}.png\n" for n in range(100_001)))))


def test_an_index_that_no_row_has_is_refused(write):
    manifest = read_manifest(write("image\na.png\n"))
    assert manifest.row(1).id == "a"
    for index in (0, 2, -1):
        with pytest.raises(UsageError, match="rows 1 to 1"):
            manifest.row(index)


# ── path maps ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def rules(tmp_path, *rules):
    path = tmp_path / "map.json"
    said = [
        {"source_path_format": kind, "source_path": source, "destination_path": destination}
        for kind, source, destination in rules
    ]
    path.write_text(json.dumps({"version": "pathmapping-1.0", "path_mapping_rules": said}))
    return read_path_map(path)


def test_the_most_particular_rule_maps_a_path(tmp_path):
    path_map = rules(tmp_path, ("POSIX", "/mnt", "/a"), ("POSIX", "/mnt/shots", "/b"), ("WINDOWS", "S:\\in", "/c"))
    mapped = [path_map.mapped(path) for path in ("/mnt/x.png", "/mnt/shots/1/x.png", "s:\\IN\\x.png", "/else/x.png")]
    assert mapped == ["/a/x.png", "/b/1/x.png", "/c/x.png", "/else/x.png"]


def test_pictures_of_a_manifest_are_mapped(write, tmp_path):
    manifest = read_manifest(write("image\n/mnt/shots/x.png\n"), rules(tmp_path, ("POSIX", "/mnt/shots", "/local")))
    assert str(manifest.rows[0].image) == "/local/x.png"


@pytest.mark.parametrize(
    "text", ["", "[]", '{"version": "2"}', '{"version": "pathmapping-1.0", "path_mapping_rules": [{}]}']
)
def test_what_is_no_path_map_is_refused(tmp_path, text):
    path = tmp_path / "map.json"
    path.write_text(text)
    with pytest.raises(RunError) as caught:
        read_path_map(path)
    assert caught.value.exit_code == 78


def test_a_runner_without_rules_writes_an_empty_map(tmp_path):
    path = tmp_path / "map.json"
    path.write_text("{}")
    assert read_path_map(path).mapped("/mnt/x.png") == "/mnt/x.png"
