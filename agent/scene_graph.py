"""Owns the scene graph: what the picture is decomposed into, and the names that stay through all stages."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Literal

from pydantic import Field, field_validator, model_validator

from protocol.models import Value

Box = tuple[float, float, float, float]

NAME_BYTES = 63
"""Blender's longest name in bytes of UTF-8 (versions before 5.0)."""


class Relation(Value):
    """How a node stands to another."""

    relation: str
    """In words: "stands on", "left of, touching", "inside"."""
    to: str
    """Name of the other node."""


class SceneNode(Value):
    name: str
    """Unique, a valid Blender object name, and the object's name in every stage."""
    parent: str | None = None
    """Name of an inner node; None for children of the root."""
    kind: Literal["group", "part"]
    """An inner node (an empty that its parts are parented to) or a leaf (one object)."""
    description: str
    geometry: str = ""
    """Approximate shape, in words: "cylinder, twice as tall as wide"."""
    material: str = ""
    """Appearance: colour, roughness, texture, transparency."""
    relations: tuple[Relation, ...] = ()
    """To its parent and to nearby nodes."""
    strategy: str = ""
    """How to build it in Blender."""
    picture_box: Box | None = None
    """Where it lies in the reference: left, top, right, bottom as fractions, origin top left."""

    @field_validator("picture_box")
    @classmethod
    def _valid_box(cls, box: Box | None) -> Box | None:
        if box and not (0 <= box[0] < box[2] <= 1 and 0 <= box[1] < box[3] <= 1):
            raise ValueError(f"picture_box {box} must be left, top, right, bottom as fractions from 0 to 1")
        return box

    @field_validator("name")
    @classmethod
    def _valid_name(cls, name: str) -> str:
        if not name.strip() or len(name.encode()) > NAME_BYTES or any(ord(c) < 32 for c in name):
            raise ValueError(f"{name!r} is no valid Blender name (1 to {NAME_BYTES} bytes, no control characters)")
        if name in {"Camera", "Scene", "World"}:
            raise ValueError(f"{name!r} is taken by the scene itself")
        return name


class SceneGraph(Value):
    environment: str
    """The root: global environment, background, ground and light, in words."""
    nodes: tuple[SceneNode, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _is_a_tree(self) -> SceneGraph:
        by_name = {node.name: node for node in self.nodes}
        if len(by_name) != len(self.nodes):
            seen: set[str] = set()
            twice = sorted({n.name for n in self.nodes if n.name in seen or seen.add(n.name)})  # type: ignore[func-returns-value]
            raise ValueError(f"names must be unique; given twice: {', '.join(twice)}")
        for node in self.nodes:
            path, above = [node.name], node.parent
            while above is not None:
                if above not in by_name:
                    raise ValueError(f"{path[-1]!r} has the parent {above!r}, which is no node")
                if by_name[above].kind != "group":
                    raise ValueError(f"{above!r} has children, so it must be a group")
                if above in path:
                    raise ValueError(f"{' → '.join([*path, above])} is a circle")
                path.append(above)
                above = by_name[above].parent
        if not any(node.kind == "part" for node in self.nodes):
            raise ValueError("there is no part: every leaf must be one")
        childless = [
            n.name for n in self.nodes if n.kind == "group" and not any(m.parent == n.name for m in self.nodes)
        ]
        if childless:
            raise ValueError(f"groups without parts: {', '.join(childless)}")
        return self

    @model_validator(mode="after")
    def _relations_hold(self) -> SceneGraph:
        names = {node.name for node in self.nodes}
        for node in self.nodes:
            for relation in node.relations:
                if relation.to not in names or relation.to == node.name:
                    raise ValueError(f"{node.name!r} has a relation to {relation.to!r}, which is no other node")
        return self

    def leaves(self) -> Iterator[SceneNode]:
        return (node for node in self.nodes if node.kind == "part")

    def without(self, missing: Collection[str]) -> SceneGraph | None:
        """Less these nodes, the groups that this leaves empty, and relations to them; None when nothing is left."""
        kept = [node for node in self.nodes if node.name not in missing]
        while True:
            names, parents = {node.name for node in kept}, {node.parent for node in kept}
            fitting = [
                n for n in kept if (n.parent is None or n.parent in names) and (n.kind == "part" or n.name in parents)
            ]
            if len(fitting) == len(kept):
                break
            kept = fitting
        nodes = tuple(
            node.model_copy(update={"relations": tuple(one for one in node.relations if one.to in names)})
            for node in kept
        )
        return SceneGraph(environment=self.environment, nodes=nodes) if nodes else None

    def required_objects(self) -> frozenset[str]:
        """Names that no edit may lose."""
        return frozenset(node.name for node in self.nodes)
