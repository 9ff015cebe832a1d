"""Replays of whole runs with a real Blender: what is as recorded, what has changed and is said, what cannot be."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from agent import prompting
from agent.runs.recording import pack

pytestmark = pytest.mark.blender

FAKES = Path(__file__).resolve().parents[1] / "fakes"
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{FAKES.parents[1]}{os.pathsep}{FAKES}"}
SMALL = "align_looks = 0\nlook_px = 64\ntarget_px = 64\nfinal_samples = 1\nlook_samples = 1\n"
STAGES = "[rounds]\ncomposition = 0\nlighting = 0\ncamera = 0\n"


def start(script, folder, picture, *arguments, settings=SMALL, **environment):
    folder.parent.mkdir(exist_ok=True)
    config = folder.with_suffix(".toml")
    config.write_text(settings + STAGES)
    command = [
        sys.executable,
        FAKES / script,
        "run",
        picture,
        "--out",
        folder,
        "--preset",
        "quick",
        "--blender",
        "wheel",
    ]
    return subprocess.run(
        [*map(str, command), "--config", str(config), *map(str, arguments)],
        env=ENVIRONMENT | environment,
        capture_output=True,
        text=True,
        timeout=110,
    )


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("picture") / "box.png"
    image = Image.new("RGBA", (96, 96), (0, 0, 0, 0))
    ImageDraw.Draw(image).rectangle((30, 30, 66, 66), fill=(180, 30, 30, 255))
    image.save(path)
    return path


@pytest.fixture(scope="module")
def recording(blender, picture, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "recorded"
    ended = start("run_scripted.py", folder, picture, ASKED=str(folder.parent / "asked"))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder


@pytest.fixture
def replay(picture, recording, tmp_path):
    def replay(*arguments, of=recording, **changes):
        arguments = ("--model", "recorded", "--recording", of, *arguments)
        ended = start("run_replayed.py", tmp_path / "replayed", picture, *arguments, **changes)
        said = re.findall(r"^replay +(.*)$", ended.stdout, re.M)
        return ended, (said or [""])[0], tmp_path / "replayed"

    return replay


def result_of(folder):
    return json.loads((folder / "result.json").read_text())


def other_prompts(folder, name, old, new):
    shutil.copytree(prompting.PROMPTS, folder)
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))
    return str(folder)


def test_a_replay_of_the_same_says_so(recording, replay):
    ended, said, folder = replay()
    assert ended.returncode == 0, ended.stdout + ended.stderr
    requests = len((folder / "ledger.jsonl").read_text().splitlines())
    assert said == f"all {requests} requests are those of the recording"
    assert result_of(folder)["recording"] == {"requests": requests, "drifted": 0, "first": []}
    assert (folder / "scene.py").read_text() == (recording / "scene.py").read_text()
    assert result_of(recording)["recording"] is None, "what is no replay says nothing of it"


def test_a_changed_prompt_is_named_with_both_its_wordings_and_the_replies_still_given(recording, replay, tmp_path):
    prompts = other_prompts(tmp_path / "p", "material/verifier.md", "isolated and larger", "one by one")
    ended, said, folder = replay(PROMPTS=prompts)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.match(
        r"1 of \d+ requests differs from the recording: -1/material/1/verifier/0: message 1 \(task\): ", said
    )
    assert "isolated" in said.partition(" was recorded, now ")[0] and "one by one" in said.partition(", now ")[2]
    told = result_of(folder)["recording"]
    assert told["drifted"] == 1 and len(told["first"]) == 1
    assert (folder / "scene.py").read_text() == (recording / "scene.py").read_text()


def test_a_changed_system_prompt_differs_in_all_of_a_role_and_is_listed_where_conversations_begin(replay, tmp_path):
    prompts = other_prompts(tmp_path / "p", "shared/attempt.md", "Write one thorough edit", "Write a good edit")
    ended, said, folder = replay(PROMPTS=prompts)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    first = result_of(folder)["recording"]["first"]
    assert first == [f"{rollout}/{stage}/1/generator/0: the system prompt" for rollout, stage in (
        (0, "initialisation"), (-1, "geometry"), (-1, "material"))]  # fmt: skip
    assert int(said.split()[0]) > 3


def test_a_changed_description_names_the_tool(replay):
    ended, _, folder = replay(DESCRIBED="Takes a photograph.")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert result_of(folder)["recording"]["first"][0] == "0/initialisation/1/generator/0: the tool look"


def test_pictures_of_another_size_are_named_with_both_sizes(replay):
    ended, _, folder = replay(settings=SMALL.replace("look_px = 64", "look_px = 48"))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    drifts = [
        entry["value"]["drift"]
        for entry in map(json.loads, (folder / "journal.jsonl").read_text().splitlines())
        if entry.get("key", "").startswith("reply/0/initialisation/1/generator/2")
    ]
    assert [drift["begins_here"] for drift in drifts] == [True]
    assert "message 5 (result of run_code): " in drifts[0]["how"]


def test_another_seed_is_found_in_the_task(replay):
    ended, said, _ = replay("--seed", "5")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "0/decomposition/1/decomposer/0: message 1 (task): " in said
    assert '"seed\\": 0' in said and '"seed\\": 5' in said


def test_a_place_that_was_not_recorded_ends_the_replay_and_what_differed_before_it_is_told(recording, replay, tmp_path):
    cut = shutil.copytree(recording, tmp_path / "cut")
    lines = (cut / "journal.jsonl").read_text().splitlines(keepends=True)
    kept = [line for line in lines if '"key": "reply/-1/material/1/generator/1/' not in line]
    assert len(kept) < len(lines)
    (cut / "journal.jsonl").write_text("".join(kept))
    prompts = other_prompts(tmp_path / "p", "geometry/verifier.md", "You judge", "You weigh")
    ended, _, _ = replay(of=cut, PROMPTS=prompts)
    assert ended.returncode == 78
    assert "holds no reply at -1/material/1/generator/1 (rollout/stage/round/role/call)" in ended.stderr
    assert "what differed before it: -1/geometry/1/verifier/0: message 1 (task): " in ended.stderr


def test_a_recording_that_does_not_tell_what_was_asked_is_replayed_and_says_less(recording, replay, tmp_path):
    old = shutil.copytree(recording, tmp_path / "old")
    entries = [json.loads(line) for line in (old / "journal.jsonl").read_text().splitlines()]
    for entry in entries:
        entry.pop("asked", None)
    (old / "journal.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    prompts = other_prompts(tmp_path / "p", "geometry/generator.md", "you refine", "you better")
    ended, said, _ = replay(of=old, PROMPTS=prompts)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert said.endswith("-1/geometry/1/generator/0: the recording does not tell how")


def test_most_of_what_a_run_says_is_read_from_the_cache(replay):
    """Billed as the service does; this run's conversations are as short as they can be."""
    ended, _, folder = replay(BILLED="1")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    calls = [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]
    said = sum(sum(call["tokens"].values()) for call in calls)
    assert sum(call["tokens"]["cache_read_tokens"] for call in calls) >= 0.5 * said
    first = [call["tokens"] for call in calls if call["place"]["ordinal"] == 0 and call["place"]["stage"] == "material"]
    assert len(first) == 2 and all(one["cache_read_tokens"] > 3 * one["cache_write_tokens"] for one in first)


def test_a_packed_recording_is_all_that_a_replay_needs_its_settings_too(recording, picture, tmp_path):
    pack(recording, tmp_path / "packed")
    assert [path.name for path in (tmp_path / "packed").iterdir()] == ["journal.jsonl"]
    command = [sys.executable, "-m", "agent", "run", picture, "--recording", tmp_path / "packed", "--blender", "wheel"]
    ended = subprocess.run(
        [*map(str, command), "--out", str(tmp_path / "replayed")], capture_output=True, text=True, timeout=110
    )
    assert ended.returncode == 0, ended.stderr
    old, new = (json.loads((one / "result.json").read_text()) for one in (recording, tmp_path / "replayed"))
    assert (new["stages"], new["model"], new["recording"]["drifted"]) == (old["stages"], "recorded", 0)
    assert (tmp_path / "replayed" / "scene.py").read_text() == (recording / "scene.py").read_text()
