"""The journal remembers what was computed, survives a kill at any byte, and keeps pictures out of its lines."""

import json

import pytest

from agent.runs.journal import Journal, digest_of, read_journal, write_atomically
from protocol.models import Value

PNG = b"\x89PNG not really"


class Found(Value):
    number: int
    png: bytes = b""


def never():
    raise AssertionError("a recorded step was computed again")


def test_a_step_is_computed_once_and_remembered_by_the_next_process(tmp_path):
    first = Journal(tmp_path)
    assert first.step("a", Found, lambda: Found(number=1, png=PNG)) == Found(number=1, png=PNG)
    first.close()
    second = Journal(tmp_path)
    assert second.step("a", Found, never) == Found(number=1, png=PNG)
    assert second.replayed == 1


def test_pictures_lie_beside_the_journal_not_in_it(tmp_path):
    journal = Journal(tmp_path)
    journal.step("a", Found, lambda: Found(number=1, png=PNG))
    line = (tmp_path / "journal.jsonl").read_text()
    assert "PNG not" not in line
    name = json.loads(line)["value"]["png"]["$bytes"]
    assert name.endswith(".png")
    assert (tmp_path / "replies" / name).read_bytes() == PNG


def test_a_step_that_fails_is_not_recorded(tmp_path):
    journal = Journal(tmp_path)
    with pytest.raises(ZeroDivisionError):
        journal.step("a", Found, lambda: Found(number=1 // 0))
    assert not journal.has("a")


def test_a_journal_cut_at_any_byte_is_read_up_to_its_last_whole_line_and_goes_on(tmp_path):
    journal = Journal(tmp_path)
    for number in range(3):
        journal.step(f"step {number}", Found, lambda number=number: Found(number=number))
    journal.close()
    whole = (tmp_path / "journal.jsonl").read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    for length in range(len(whole) + 1):
        (tmp_path / "journal.jsonl").write_bytes(whole[:length])
        cut = Journal(tmp_path)
        kept = sum(1 for end in ends if end <= length)
        assert [cut.has(f"step {number}") for number in range(3)] == [number < kept for number in range(3)]
        cut.step("more", Found, lambda: Found(number=9))
        cut.close()
        assert [entry["key"] for entry in read_journal(tmp_path / "journal.jsonl")][-1] == "more"


def test_reading_leaves_out_a_torn_last_line_and_changes_nothing(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"event": "run"}\n{"event": "st')
    assert [entry["event"] for entry in read_journal(path)] == ["run"]
    assert path.read_bytes().endswith(b'"st')


def test_digests_tell_bytes_and_values_apart_and_ignore_the_order_of_names():
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    assert digest_of(b"a") != digest_of(b"b") != digest_of("b")


def test_a_damaged_line_costs_only_its_own_step(tmp_path):
    journal = Journal(tmp_path)
    for number in range(3):
        journal.step(f"step {number}", Found, lambda number=number: Found(number=number))
    journal.close()
    first, _, last = (tmp_path / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "journal.jsonl").write_bytes(first + b"{garbage \xff\n[1]\n" + last)
    again = Journal(tmp_path)
    assert [again.has(f"step {number}") for number in range(3)] == [True, False, True]


def damage_said(folder):
    said, journal = [], Journal(folder)
    journal.tell_of_damage(said.append)
    return journal, said


def test_damaged_steps_are_told_once_and_noted(tmp_path):
    journal = Journal(tmp_path)
    for number in range(4):
        journal.step(f"step {number}", Found, lambda number=number: Found(number=number, png=PNG + bytes([number])))
    journal.close()
    lines = (tmp_path / "journal.jsonl").read_bytes().splitlines(keepends=True)
    name = json.loads(lines[3])["value"]["png"]["$bytes"]
    (tmp_path / "replies" / name).write_bytes(b"changed")
    (tmp_path / "journal.jsonl").write_bytes(lines[0] + b"{garbage\n" + b"".join(lines[2:]) + b'{"torn": ')
    again, said = damage_said(tmp_path)
    assert said == ["2 steps of the record were damaged and are done again"]
    assert [again.has(f"step {number}") for number in range(4)] == [True, False, True, False]
    for number in (1, 3):
        again.step(f"step {number}", Found, lambda number=number: Found(number=number, png=PNG + bytes([number])))
    again.close()
    assert [entry["steps"] for entry in read_journal(tmp_path / "journal.jsonl") if entry["event"] == "damaged"] == [2]
    third, said = damage_said(tmp_path)
    assert said == []
    assert all(third.has(f"step {number}") for number in range(4))


@pytest.mark.parametrize("damage", ["remove", "overwrite", "value"])
def test_a_step_whose_record_is_damaged_is_done_again(tmp_path, damage):
    first = Journal(tmp_path)
    first.step("a", Found, lambda: Found(number=1, png=PNG))
    first.close()
    (blob,) = (tmp_path / "replies").iterdir()
    if damage == "remove":
        blob.unlink()
    elif damage == "overwrite":
        blob.write_bytes(b"other")
    else:
        text = (tmp_path / "journal.jsonl").read_text()
        (tmp_path / "journal.jsonl").write_text(text.replace('"number": 1', '"number": "none"'))
    second, said = damage_said(tmp_path)
    assert second.step("a", Found, lambda: Found(number=2, png=PNG)).number == 2
    assert said == ["1 step of the record was damaged and is done again"]
    second.close()
    assert Journal(tmp_path).step("a", Found, never) == Found(number=2, png=PNG)


def test_half_a_surrogate_pair_in_a_note_is_kept(tmp_path):
    journal = Journal(tmp_path)
    journal.note("said", text="a\ud800b", name="ä")
    assert [entry["text"] for entry in read_journal(tmp_path / "journal.jsonl")] == ["a\ud800b"]


def test_a_file_that_cannot_be_written_leaves_no_part_behind(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        write_atomically(tmp_path / "folder", b"data")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
