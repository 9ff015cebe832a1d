"""Owns how prompt files become text: found, checked, rendered strictly, counted into one digest.

Leaves the words to `prompts/` and the values to the caller. What the pipeline uses:

    system_prompt(role, **variables) -> str
        What a role is told in every stage, in the same words all through a run: prompts/shared/<role>.md. The service
        keeps it cached.

    stage_prompt(stage, role, **variables) -> str
        prompts/<stage>/<role>.md, the same for every round of a stage; it stands in the first message, after what the
        whole run has in common.
        role is "decomposer", "generator", "verifier", "selector", or "chooser" for the choice at a budget's end.
        Both take SYSTEM_VARIABLES: blender_version ("4.5.15"), dialect (heading → what things are called in it), scope
        (factors, in order), width_px, height_px (of the target view), kind ("cutout" or "full"), tools (names of the
        tools that this role has), fit_looks, look_px, hints (whether the role is told what is measured),
        shows_reference.

    task(stage, role, facts, **variables) -> str
        prompts/tasks/<role>.md, or <role>_again.md in a generator's later rounds: the first text of a conversation, or
        of its next round. Its last lines are a fenced ```json block with `facts` on one line.
        Takes TASK_VARIABLES: round, rounds, checklist (items as dicts with id, text, satisfied, withdrawn), critique
        (or None), has_scene (whether it is shown as it stands), remarks, hints, shows_reference.

    render(name, **variables) -> str
        Any other file, with exactly the variables that it declares: "tasks/scene_graph.md" tells the scene graph,
        "decomposition/split.md" asks for a finer one, "shared/use_a_tool.md" follows an answer without a tool call,
        "shared/cut_short.md" one that ran into its length limit, "shared/conclude.md" asks for the closing tool.

    prompts_digest() -> str
        What all the prompts said, for result.json and for the resume check.

The first three take any part of their vocabulary beyond what the file declares, so that the caller can pass the same
values everywhere; a word outside the vocabulary, or a declared one that is missing, raises PromptVariablesDiffer.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.errors import RunError

if TYPE_CHECKING:
    import jinja2

PROMPTS = Path(__file__).resolve().parent.parent / "prompts"
"""Beside the package, in a checkout as in an installation."""

SYSTEM_VARIABLES = frozenset(
    {
        "blender_version", "dialect", "stage", "scope", "width_px", "height_px", "kind", "tools", "fit_looks",
        "look_px", "hints", "shows_reference",
    }
)  # fmt: skip
TASK_VARIABLES = frozenset(
    {"stage", "round", "rounds", "checklist", "critique", "has_scene", "remarks", "hints", "shows_reference"}
)
COMMON = {"generator": "shared/generator.md", "verifier": "shared/verifier.md"}
"""Role → what it is told in every stage; of the others, shared/setting.md."""

_FENCE = "---\n"


class PromptVariablesDiffer(RunError):
    """A prompt file was given other variables than it declares: a bug of ours, not of the user's."""

    def __init__(self, name: str, missing: Iterable[str], unknown: Iterable[str]) -> None:
        self.name, self.missing, self.unknown = name, tuple(sorted(missing)), tuple(sorted(unknown))
        parts = [f"lacks {', '.join(self.missing)}"] * bool(self.missing)
        parts += [f"does not know {', '.join(self.unknown)}"] * bool(self.unknown)
        super().__init__(f"prompt {name} {' and '.join(parts)}.")


class PromptMissing(RunError):
    """There is no such prompt file, or it does not begin with its declaration."""


def system_prompt(role: str, **variables: Any) -> str:
    """What a role is told once, before everything else, whatever the stage."""
    return _render_part(COMMON.get(role, "shared/setting.md"), SYSTEM_VARIABLES, variables)


def stage_prompt(stage: str, role: str, **variables: Any) -> str:
    """What a role is told of its part in one stage."""
    name = "verification/choose.md" if role == "chooser" else f"{stage}/{role}.md"
    return _render_part(name, SYSTEM_VARIABLES, {"stage": stage, **variables})


def task(stage: str, role: str, facts: Mapping[str, Any], **variables: Any) -> str:
    """What a role is asked now; its last lines are the facts for a machine to read."""
    again = role == "generator" and variables.get("round", 1) > 1
    name = f"tasks/{role}_again.md" if again else f"tasks/{role}.md"
    text = _render_part(name, TASK_VARIABLES, {"stage": stage, **variables})
    return f"{text}\n\n```json\n{json.dumps(facts, ensure_ascii=False)}\n```"


def render(name: str, **variables: Any) -> str:
    """The text of one file, given exactly the variables that it declares."""
    declared = declared_variables(name)
    if declared != variables.keys():
        raise PromptVariablesDiffer(name, declared - variables.keys(), variables.keys() - declared)
    return _environment().get_template(name).render(**variables).strip()


def declared_variables(name: str) -> frozenset[str]:
    """The variables in a file's front matter."""
    declaration, _ = _split(name)
    return frozenset(declaration.replace(",", " ").split())


def prompt_names() -> Iterator[str]:
    """All prompt files, as `render` names them."""
    found = (path.relative_to(PROMPTS).as_posix() for path in PROMPTS.rglob("*.md"))
    return iter(sorted(name for name in found if name != "README.md"))


def prompts_digest() -> str:
    """Changes when any prompt's text or name does."""
    digest = hashlib.sha256()
    for name in prompt_names():
        digest.update(f"{name}\0{_read(name)}\0".encode())
    return digest.hexdigest()


def _render_part(name: str, vocabulary: frozenset[str], variables: Mapping[str, Any]) -> str:
    if unknown := variables.keys() - vocabulary:
        raise PromptVariablesDiffer(name, (), unknown)
    declared = declared_variables(name)
    return render(name, **{key: value for key, value in variables.items() if key in declared})


@functools.cache
def _environment() -> jinja2.Environment:
    import jinja2  # only a run needs it; `--help` must stay quick

    return jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: _split(name)[1]),
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _split(name: str) -> tuple[str, str]:
    """The declared variables and the body of a file that begins with `---`, `variables: a, b`, `---`."""
    head, fence, body = _read(name).removeprefix(_FENCE).partition(_FENCE)
    if not fence or not head.startswith("variables:") or head.count("\n") != 1:
        raise PromptMissing(f"prompt {name} does not begin with its variables between two lines of ---.")
    return head.removeprefix("variables:"), body


def _read(name: str) -> str:
    try:
        return (PROMPTS / name).read_text(encoding="utf-8")
    except OSError as error:
        raise PromptMissing(f"prompt {name} cannot be read in {PROMPTS}: {error.strerror}.") from error
