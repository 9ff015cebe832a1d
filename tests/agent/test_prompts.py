"""Proves that a prompt file says what it needs, renders with exactly that, and ends with facts a machine can read."""

import ast
import json
import re

import pytest
from jinja2 import Environment, meta, nodes

from agent import prompting
from agent.prompting import (
    PromptMissing,
    PromptVariablesDiffer,
    declared_variables,
    prompt_names,
    render,
    stage_prompt,
    system_prompt,
    task,
)

ITEMS = [
    {"id": 1, "text": "Mug_Handle: missing", "satisfied": False, "withdrawn": None},
    {"id": 2, "text": "Mug_Body: too wide", "satisfied": True, "withdrawn": None},
    {"id": 3, "text": "Mug_Rim: cannot be seen", "satisfied": False, "withdrawn": "hidden"},
]
SAMPLES = {
    "blender_version": "4.5.15",
    "dialect": {"sky types": ("PREETHAM", "NISHITA"), "smooth faces": ("Mesh.shade_smooth()",)},
    "stage": "geometry",
    "round": 2,
    "rounds": 5,
    "scope": ["structure", "geometry", "transform"],
    "width_px": 512,
    "height_px": 384,
    "kind": "full",
    "tools": ["run_code", "look", "inspect", "compare", "measure", "revert", "fit", "reference", "finish", "verdict"],
    "tool": "verdict",
    "checklist": ITEMS,
    "critique": "Start with the handle.",
    "has_scene": True,
    "remarks": [{"stage": "geometry", "text": "The cone's highlight is the light's place."}],
    "fit_looks": 150,
    "look_px": 256,
    "hints": True,
    "shows_reference": True,
    "graph": '{"nodes": []}',
    "leaves": "Mug_Body, Mug_Handle",
}
STAGES = ("initialisation", "geometry", "material", "composition", "lighting", "monolithic")
SYSTEM_ROLES = [
    ("decomposition", "decomposer"),
    ("selection", "selector"),
    ("camera", "generator"),
    *((stage, role) for stage in STAGES for role in ("generator", "verifier", "chooser")),
]


def values(names):
    return {name: SAMPLES[name] for name in names}


def used_variables(name):
    """What a template and everything that it includes refers to."""
    tree = Environment().parse(prompting._split(name)[1])
    used = meta.find_undeclared_variables(tree)
    for include in tree.find_all(nodes.Include):
        used |= used_variables(include.template.value)
    return used


@pytest.mark.parametrize("flags", [True, False], ids=["usual", "ablated"])
@pytest.mark.parametrize("name", list(prompt_names()))
def test_prompt_renders_with_exactly_what_it_declares(name, flags):
    declared = declared_variables(name)
    text = render(name, **values(declared) | dict.fromkeys(declared & {"hints", "shows_reference"}, flags))
    assert text and "{{" not in text and "{%" not in text


@pytest.mark.parametrize("name", list(prompt_names()))
def test_prompt_declares_exactly_what_it_uses(name):
    assert used_variables(name) == declared_variables(name)


@pytest.mark.parametrize("name", list(prompt_names()))
def test_lines_of_a_prompt_fit_a_screen(name):
    assert max(map(len, prompting._read(name).splitlines())) <= 160


def test_a_missing_variable_is_named():
    with pytest.raises(PromptVariablesDiffer) as caught:
        render("shared/conclude.md")
    assert caught.value.missing == ("tool",)
    assert caught.value.name == "shared/conclude.md"


def test_a_left_over_variable_is_named():
    with pytest.raises(PromptVariablesDiffer, match="does not know colour"):
        render("shared/conclude.md", tool="verdict", colour="red")


def test_a_word_outside_the_vocabulary_is_refused():
    with pytest.raises(PromptVariablesDiffer, match="does not know blender_versoin"):
        stage_prompt("geometry", "verifier", blender_versoin="4.5")


def test_an_unknown_prompt_is_named():
    with pytest.raises(PromptMissing, match=r"geometry/dancer\.md"):
        stage_prompt("geometry", "dancer")


def system_values(**changes):
    return {**values(prompting.SYSTEM_VARIABLES - {"stage"}), **changes}


def both(stage, role, **changes):
    told = system_values(**changes)
    return system_prompt(role, **told), stage_prompt(stage, role, **told)


@pytest.mark.parametrize(("stage", "role"), SYSTEM_ROLES)
def test_every_role_has_a_system_prompt_from_the_common_vocabulary(stage, role):
    common, own = both(stage, role)
    assert len(common) > 500 and own.startswith("# Your part: ")


@pytest.mark.parametrize("role", ["generator", "verifier"])
def test_a_role_is_told_the_same_words_first_in_every_stage(role):
    """Whatever differs between the stages: else the service would read none of it from its cache."""
    differing = {"scope", "shows_reference", "stage"}
    assert not differing & declared_variables(prompting.COMMON[role])
    assert len({stage_prompt(stage, role, **system_values()) for stage in STAGES}) == len(STAGES)


@pytest.mark.parametrize("role", ["generator", "verifier"])
def test_most_of_what_a_role_is_told_is_common_to_all_stages(role):
    for stage in STAGES[1:]:
        common, own = both(stage, role)
        assert len(common) > 2 * len(own), stage


FIGURES = ("psnr_db", "ssim", "iou", "edge_px", "screen_box", "clipped_fraction", "luminance_ratio")


@pytest.mark.parametrize(("stage", "role"), SYSTEM_ROLES)
def test_without_hints_no_figure_is_named(stage, role):
    tools = [name for name in SAMPLES["tools"] if name not in ("measure", "fit")]
    told = "\n".join(both(stage, role, hints=False, tools=tools))
    named = [figure for figure in FIGURES if f"`{figure}`" in told]
    assert not named and "`fit`" not in told and "`measure`" not in told


def test_who_builds_from_words_alone_is_told_of_no_reference_to_be_looked_at():
    own = stage_prompt("initialisation", "generator", **system_values(shows_reference=False))
    assert "not shown to you" in own and own.count("reference") == 1
    told = task("initialisation", "generator", {}, **{**task_values(), "shows_reference": False, "round": 1})
    assert 'captioned "reference"' not in told


def task_values():
    return values(prompting.TASK_VARIABLES - {"stage"})


def test_verifiers_may_file_tickets_and_generators_of_geometry_leave_the_view_alone():
    assert "`tickets`" in system_prompt("verifier", **system_values())
    assert "composition and camera will see to the view" in stage_prompt("geometry", "generator", **system_values())


@pytest.mark.parametrize("round_", [1, 2])
@pytest.mark.parametrize("role", ["decomposer", "generator", "verifier", "selector", "chooser"])
def test_a_task_ends_with_its_facts(role, round_):
    facts = {"stage": "geometry", "note": "``` is no end\n```json"}
    text = task("geometry", role, facts, **{**values(prompting.TASK_VARIABLES - {"stage"}), "round": round_})
    opening, payload, closing = text.splitlines()[-3:]
    assert (opening, closing) == ("```json", "```")
    assert json.loads(payload) == facts


def test_a_generators_later_round_states_open_items_only():
    text = task("geometry", "generator", {}, **values(prompting.TASK_VARIABLES - {"stage"}))
    assert "- 1: Mug_Handle: missing" in text
    assert "Mug_Body" not in text and "Mug_Rim" not in text
    assert "Start with the handle." in text


def test_a_verifier_is_told_every_item_with_its_state():
    text = task("geometry", "verifier", {}, **values(prompting.TASK_VARIABLES - {"stage"}))
    assert "- 1 (open): Mug_Handle: missing" in text
    assert "- 2 (satisfied when last seen): Mug_Body: too wide" in text
    assert "- 3 (withdrawn): Mug_Rim: cannot be seen" in text


def test_a_generator_is_told_what_its_blender_calls_things():
    text = system_prompt("generator", **system_values())
    assert "## This is Blender 4.5.15" in text
    assert "- sky types: `PREETHAM`, `NISHITA`\n- smooth faces: `Mesh.shade_smooth()`\n" in text


def test_where_a_blender_did_not_tell_nothing_is_said_of_names():
    text = render("shared/dialect.md", blender_version="4.5.15", dialect={})
    assert "This is Blender 4.5.15" in text and "In this one" not in text


def test_a_cut_out_is_told_to_have_no_backdrop():
    size = {"width_px": 64, "height_px": 64}
    assert "build no backdrop" in render("shared/setting.md", kind="cutout", **size)
    assert "build no backdrop" not in render("shared/setting.md", kind="full", **size)


def test_only_the_tools_at_hand_are_described():
    text = render("shared/looking.md", fit_looks=150, tools=["look", "verdict"])
    assert "`look`" in text and "`verdict`" in text
    assert "`run_code`" not in text and "`revert`" not in text


def test_python_in_prompts_is_python():
    for name in prompt_names():
        text = render(name, **values(declared_variables(name)))
        for block in re.findall(r"```python\n(.*?)```", text, re.S):
            ast.parse(block)


def test_the_digest_changes_with_a_prompt(tmp_path, monkeypatch):
    before = prompting.prompts_digest()
    assert before == prompting.prompts_digest()
    (tmp_path / "a.md").write_text("---\nvariables:\n---\nA")
    monkeypatch.setattr(prompting, "PROMPTS", tmp_path)
    first = prompting.prompts_digest()
    (tmp_path / "a.md").write_text("---\nvariables:\n---\nB")
    assert len({before, first, prompting.prompts_digest()}) == 3
