"""Owns which run is of which picture: as is said of it, by the digest of the file that it was made from, by its id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from agent.evaluation.data import Dataset, Item, View
from agent.evaluation.finding import Run, picture_digest

Methods = Mapping[str, Sequence[Run]]


@dataclass
class Subject:
    """A picture, and the runs that were made from it."""

    id: str
    group: str
    view: View | None
    """Its reference; None where no run has kept it."""
    digest: str | None = None
    """SHA-256 of its reference's file; None where that cannot be read."""
    item: Item | None = None
    """What a data set knows of it."""
    runs: list[tuple[str, Run]] = field(default_factory=list)
    """With the method of each."""


@dataclass(frozen=True)
class Matched:
    subjects: tuple[Subject, ...]
    """Those that have runs."""
    unmatched: tuple[str, ...] = ()
    without_run: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """Runs that nothing but their name makes a picture's."""


def match(methods: Methods, data: Dataset | None) -> Matched:
    runs = [(method, run) for method, some in methods.items() for run in some]
    return _of_themselves(runs) if data is None else _of_data(runs, data)


def _of_data(runs: Iterable[tuple[str, Run]], data: Dataset) -> Matched:
    subjects = [Subject(id=item.id, group=item.group, view=item.reference, item=item) for item in data.items]
    by_id = {subject.id: subject for subject in subjects}
    by_digest: dict[str, list[Subject]] = {}
    for item, subject in zip(data.items, subjects, strict=True):
        if digest := picture_digest(item.reference.picture):
            subject.digest = digest
            by_digest.setdefault(digest, []).append(subject)
    unmatched, notes = list[str](), list[str]()
    for method, run in runs:
        found = by_id.get(run.item) or _found(run, by_id, by_digest)
        if found is None:
            unmatched.append(f"{method}: {run.id} ({run.folder})")
        else:
            found.runs.append((method, run))
            if run.digest and run.digest != found.digest and not run.item:
                notes.append(
                    f"{method}: {run.id} is measured beside {found.id} by its name: it was made from another file."
                )
    with_runs = tuple(subject for subject in subjects if subject.runs)
    without = tuple(subject.id for subject in subjects if not subject.runs)
    return Matched(subjects=with_runs, unmatched=tuple(unmatched), without_run=without, notes=tuple(notes))


def _found(run: Run, by_id: Mapping[str, Subject], by_digest: Mapping[str, Sequence[Subject]]) -> Subject | None:
    same = by_digest.get(run.digest or "", [])
    named = by_id.get(run.id)
    return named if named is not None and (named in same or not same) else next(iter(same), None)


def _of_themselves(runs: Sequence[tuple[str, Run]]) -> Matched:
    """Each run beside the picture that it was made from; the largest copy that any run of it has kept."""
    named = {run.id: run.digest for _, run in runs if run.digest}
    together: dict[str, list[tuple[str, Run]]] = {}
    for method, run in runs:
        together.setdefault(run.digest or named.get(run.id) or f"id {run.id}", []).append((method, run))
    ids = _names(together)
    return Matched(
        subjects=tuple(
            Subject(id=ids[key], group="", view=_largest(run for _, run in some), digest=key, runs=some)
            for key, some in sorted(together.items(), key=lambda one: ids[one[0]])
        )
    )


def _names(together: Mapping[str, Sequence[tuple[str, Run]]]) -> dict[str, str]:
    """Of each picture: its file, where several are called so its first run, else with the beginning of its digest."""
    stems = {key: Path(some[0][1].source).stem for key, some in together.items()}
    runs = {key: some[0][1].id for key, some in together.items()}
    names = {key: stem if _is_single(stem, stems) else runs[key] for key, stem in stems.items()}
    return {key: name if _is_single(name, names) else f"{name} ({key[:8]})" for key, name in names.items()}


def _is_single(name: str, names: Mapping[str, str]) -> bool:
    return list(names.values()).count(name) == 1


def _largest(runs: Iterable[Run]) -> View | None:
    found = [(_pixels(run.reference), run.reference) for run in runs]
    pixels, path = max(found, default=(0, Path()))
    return View(name="reference", picture=path) if pixels else None


def _pixels(picture: Path) -> int:
    """As its header says; 0 for what is no picture."""
    try:
        with Image.open(picture) as image:
            return image.width * image.height
    except (OSError, ValueError, Image.DecompressionBombError):
        return 0
