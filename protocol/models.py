"""Owns the requests and replies of every method: frozen values with named fields and a deadline by kind.

Never imported by Blender. Units: metres, degrees, pixels, seconds, bytes. World frame: Blender's, Z up, right-handed.
Pixel frame: origin at the top left corner. `screen` boxes are fractions of the picture's width and height.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, Field, FiniteFloat, NonNegativeInt, PositiveInt

from protocol.gpu import GpuKind
from protocol.printable import on_one_line

Vector = tuple[float, float, float]
Row = tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]
Matrix = tuple[Row, Row, Row, Row]
MIB = 1024 * 1024


class Value(BaseModel, frozen=True, extra="forbid"):
    """A frozen value that refuses unknown fields."""


class Reply(Value):
    """What a method answers."""


class Request(Value):
    """What a method is asked."""

    method: ClassVar[str]
    reply: ClassVar[type[Reply]]
    mutates: ClassVar[bool] = False
    """At most once: a request that changes the scene is never sent twice."""
    timeout_s: ClassVar[float] = 10.0
    """The default deadline of this kind; a caller may choose another."""
    reply_bytes: ClassVar[int] = 4 * MIB
    """Most that the payloads of its reply may hold together."""


# ── hello ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
class HelloReply(Reply):
    protocol: int
    blender: str
    """For example "4.5.15"."""
    python: str
    pid: int
    numpy: bool
    engines: tuple[Engine, ...]
    """What it renders with, here and without a screen."""


class HelloRequest(Request):
    method: ClassVar[str] = "hello"
    reply: ClassVar[type[Reply]] = HelloReply


# ── execute, settle ───────────────────────────────────────────────────────────────────────────────────────────────────
class ExecuteReply(Reply):
    stdout: str
    """What the code printed, its last 16 KiB."""
    duration_s: float
    patched: tuple[Annotated[str, Field(max_length=200)], ...] = Field((), max_length=5)
    """Names of what the code changed though later edits rely on it: such a Blender runs no other edit."""


class ExecuteRequest(Request):
    """Run code in a fresh namespace with `random` (and numpy's, where present) seeded."""

    method: ClassVar[str] = "execute"
    reply: ClassVar[type[Reply]] = ExecuteReply
    mutates: ClassVar[bool] = True
    timeout_s: ClassVar[float] = 60.0
    source: str
    seed: int = 0
    keep_slots: bool = False
    """Put back the material slots and UV maps that an edit loses by swapping a mesh."""


class SettleReply(Reply):
    resets: tuple[str, ...]
    """What the host put back to its own setting, as sentences: "render engine: BLENDER_EEVEE → CYCLES"."""


class SettleRequest(Request):
    """Make the live scene what a loaded one is: see `blender_server/editing.py`."""

    method: ClassVar[str] = "settle"
    reply: ClassVar[type[Reply]] = SettleReply
    mutates: ClassVar[bool] = True
    timeout_s: ClassVar[float] = 30.0


# ── inspect ───────────────────────────────────────────────────────────────────────────────────────────────────────────
class InspectReply(Reply):
    what: dict[str, Any]
    """JSON-able; its shape is documented in `blender_server/inspecting.py`."""


class InspectRequest(Request):
    method: ClassVar[str] = "inspect"
    reply: ClassVar[type[Reply]] = InspectReply
    subject: Literal["scene", "object", "material", "contacts", "world"]
    name: str = ""
    """Of the object or material; empty for the others."""
    short: bool = False
    """For a reader: settings as text, and only those that are not Blender's defaults."""


# ── render ────────────────────────────────────────────────────────────────────────────────────────────────────────────
class TargetView(Value):
    """The scene's active camera."""

    kind: Literal["target"] = "target"


class OrbitView(Value):
    """The target camera turned about the vertical axis through a pivot (a named object's or the scene's box centre)."""

    kind: Literal["orbit"] = "orbit"
    azimuth_deg: float = 0.0
    """Positive turns the camera counter-clockwise seen from above."""
    elevation_deg: float = 0.0
    """Added to the target camera's own elevation; the sum is kept within ±89."""
    distance: float = Field(1.0, gt=0.0, le=100.0)
    """Multiplies the target camera's distance to the pivot."""
    focus: str = ""


class PositionView(Value):
    """A camera at `location` looking at `look_at`, +Z up."""

    kind: Literal["position"] = "position"
    location: Vector
    look_at: Vector
    lens_mm: float = Field(50.0, ge=1.0, le=1000.0)
    """On a 36 mm wide sensor."""


class PresetView(Value):
    """A camera that frames the whole scene, or `focus`, from a named side."""

    kind: Literal["preset"] = "preset"
    side: Literal["front", "back", "left", "right", "top", "bottom", "three_quarter"]
    focus: str = ""


class PinholeView(Value):
    """Any camera without depth of field. No model is offered it, so it is none of `View`."""

    kind: Literal["pinhole"] = "pinhole"
    to_world: Matrix
    """Of a rigid body: the camera looks along its -Z, +Y is up."""
    focal: float = Field(gt=0.001, lt=50.0)
    """Focal length as a part of the picture's longer side."""
    center: tuple[FiniteFloat, FiniteFloat] = (0.5, 0.5)
    """Principal point as fractions of the picture, from its left and its top."""


View = TargetView | OrbitView | PositionView | PresetView
AnyView = View | PinholeView


Engine = Literal["cycles", "eevee", "workbench"]
Gpu = bool | GpuKind
"""Which graphics cards to render with: none, those of the best kind that there is, those of one kind."""
Sentence = Annotated[str, Field(max_length=500), AfterValidator(on_one_line)]
"""For a screen, by a process that may have run generated code."""


class Made(Value):
    """How a picture was made, as Blender says."""

    engine: Engine
    samples: int
    """Per pixel; 0 where the engine takes none."""
    device: Sentence
    """"CPU", or a way to use graphics cards and their names: "OPTIX: NVIDIA H100"."""
    denoised: bool
    notes: tuple[Sentence, ...] = Field((), max_length=10)
    """What was asked for and not to be had, and what was done instead."""

    def told(self) -> str:
        """In short: "Workbench"; "Cycles, 16 samples, CPU, not denoised"."""
        if self.engine == "workbench":
            return "Workbench"
        denoised = "" if self.denoised else ", not denoised"
        name = {"cycles": "Cycles", "eevee": "EEVEE"}[self.engine]
        return f"{name}, {self.samples} sample{'s' * (self.samples != 1)}, {self.device}{denoised}"


class RenderReply(Reply):
    """The picture is the reply's one payload: PNG, 8 bit RGBA (straight alpha).

    "linear": scene-linear light instead, as native little-endian float32 RGBA (premultiplied), bottom row first."""

    width_px: int
    height_px: int
    duration_s: float
    made: Made
    objects: tuple[str, ...] = ()
    """For "object_id": objects[i - 1] is the name behind the pixel value i = R + 256 G + 65536 B; 0 is nothing."""


class RenderRequest(Request):
    """Render from temporary state that enters no snapshot. What this Blender lacks is done without, and noted."""

    method: ClassVar[str] = "render"
    reply: ClassVar[type[Reply]] = RenderReply
    timeout_s: ClassVar[float] = 120.0
    reply_bytes: ClassVar[int] = 128 * MIB
    view: AnyView = Field(default_factory=TargetView, discriminator="kind")
    width_px: PositiveInt = 256
    height_px: PositiveInt = 256
    samples: PositiveInt = 16
    engine: Engine = "cycles"
    """"workbench": shapes in plain light and the materials' colours, whatever lights there are."""
    picture: Literal["color", "object_id", "linear"] = "color"
    """All but "color" need Cycles."""
    transparent: bool = False
    """Film: alpha 0 where only the world is seen."""
    isolate: tuple[str, ...] = ()
    """Show only these objects (with their children); lights and world stay. Empty: all."""
    region: tuple[float, float, float, float] | None = None
    """Left, top, right, bottom as fractions: only this is rendered, the rest of the picture stays empty."""


# ── fingerprint, describe, dump ───────────────────────────────────────────────────────────────────────────────────────
class FingerprintReply(Reply):
    factors: dict[str, dict[str, str]]
    """factor → datablock key ("object:Cup", "mesh:Cup", "scene:Scene", …) → hex digest."""
    topology: dict[str, str]
    """mesh key → digest of its vertex count, edges and faces: tells whether its topology changed."""
    objects: dict[str, str]
    """object name → type ("MESH", "EMPTY", …), for required-object checks."""


class FingerprintRequest(Request):
    method: ClassVar[str] = "fingerprint"
    reply: ClassVar[type[Reply]] = FingerprintReply
    timeout_s: ClassVar[float] = 60.0


class DescribeReply(Reply):
    texts: dict[str, dict[str, str]]
    """key → property path → short text, so that two descriptions can be compared for a message."""


class DescribeRequest(Request):
    """Property texts of some datablocks, as (factor, key) pairs of a fingerprint."""

    method: ClassVar[str] = "describe"
    reply: ClassVar[type[Reply]] = DescribeReply
    timeout_s: ClassVar[float] = 60.0
    keys: tuple[tuple[str, str], ...]


class DumpReply(Reply):
    """Everything the fingerprint covers as numbers and texts, for the rebuild proof's comparison."""

    numbers: dict[str, dict[str, tuple[float, ...]]]
    """key → property path → values."""
    texts: dict[str, dict[str, str]]
    meshes: dict[str, dict[str, int]]
    """mesh key → array name ("vertices" float32 ×3, "loop_starts" int32, "corner_vertices" int32, "material_index"
    int32, "uv:<name>" float32 ×2, …) → index of the payload frame that holds it, native little-endian."""


class DumpRequest(Request):
    method: ClassVar[str] = "dump"
    reply: ClassVar[type[Reply]] = DumpReply
    timeout_s: ClassVar[float] = 120.0
    reply_bytes: ClassVar[int] = 256 * MIB
    portable: bool = False
    """Meshes' arrays under names and with values that mean the same in every Blender version."""


# ── surfaces, warp ────────────────────────────────────────────────────────────────────────────────────────────────────
class Surface(Value):
    """What a render shows of one object, instances that it stands for included."""

    name: str = Field(max_length=300)
    above: tuple[Annotated[str, Field(max_length=300)], ...] = Field((), max_length=64)
    """Names of the objects it is below, the nearest first."""
    vertices: NonNegativeInt
    triangles: NonNegativeInt


class OwnCamera(Value):
    """The scene's active camera; not of depth of field."""

    to_world: Matrix
    edges: tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]
    """The picture's right, left, top and bottom at distance 1."""


class SurfacesReply(Reply):
    """Two payloads, native little-endian: all objects' vertices (float32 × 3, in the world), then their triangles
    (int32 × 3, counting the vertices of their own object), in the order of `objects`."""

    objects: tuple[Surface, ...]
    camera: OwnCamera | None
    """None where it has none, or one that is not a perspective one."""


class SurfacesRequest(Request):
    """What a render shows, as triangles after modifiers. Too large a scene: REFUSED."""

    method: ClassVar[str] = "surfaces"
    reply: ClassVar[type[Reply]] = SurfacesReply
    timeout_s: ClassVar[float] = 120.0
    reply_bytes: ClassVar[int] = 128 * MIB
    aspect: float = Field(1.0, gt=0.0)
    """Width / height of the picture that `camera` is told for."""


class WarpReply(Reply):
    objects: int


class WarpRequest(Request):
    """Put other surfaces in the place of those that `SurfacesReply` tells of, until the scene is opened again."""

    method: ClassVar[str] = "warp"
    reply: ClassVar[type[Reply]] = WarpReply
    mutates: ClassVar[bool] = True
    timeout_s: ClassVar[float] = 120.0
    objects: dict[str, str]
    """Name → vertices, as many as there are, float32 × 3 in the world, native little-endian, as base64."""


# ── snapshot, restore, shutdown ───────────────────────────────────────────────────────────────────────────────────────
class SnapshotReply(Reply):
    file: str
    bytes: int


class SnapshotRequest(Request):
    """Save a copy of the scene as `file` in the worker's folder. Unpacked images or linked libraries: REFUSED."""

    method: ClassVar[str] = "snapshot"
    reply: ClassVar[type[Reply]] = SnapshotReply
    timeout_s: ClassVar[float] = 30.0
    file: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,80}$")


class RestoreReply(Reply):
    objects: int


class RestoreRequest(Request):
    """Open `file` from the worker's folder, or the empty scene that every program begins with when it is empty."""

    method: ClassVar[str] = "restore"
    reply: ClassVar[type[Reply]] = RestoreReply
    mutates: ClassVar[bool] = True
    timeout_s: ClassVar[float] = 30.0
    file: str = Field("", pattern=r"^[A-Za-z0-9_.-]{0,80}$")


class PlainRequest(Request):
    """Replace the open scene by its plain twin: the same things under the same names, as this Blender makes them by
    default. To be dumped: what a scene and its twin have alike, nobody has set."""

    method: ClassVar[str] = "plain"
    reply: ClassVar[type[Reply]] = RestoreReply
    mutates: ClassVar[bool] = True
    timeout_s: ClassVar[float] = 60.0


class ShutdownReply(Reply):
    pass


class ShutdownRequest(Request):
    method: ClassVar[str] = "shutdown"
    reply: ClassVar[type[Reply]] = ShutdownReply
    timeout_s: ClassVar[float] = 2.0


REQUESTS: dict[str, type[Request]] = {
    kind.method: kind
    for kind in (
        HelloRequest, ExecuteRequest, SettleRequest, InspectRequest, RenderRequest, FingerprintRequest,
        DescribeRequest, DumpRequest, SnapshotRequest, RestoreRequest, PlainRequest, SurfacesRequest, WarpRequest,
        ShutdownRequest,
    )
}  # fmt: skip
"""Method → request, of all that a Blender can be asked."""
