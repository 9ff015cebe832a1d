"""Owns the figures that the paper "Thinking in Blender: Staged Executable Inverse Graphics with Vision-Language Models"
prints, and where they may be shown: apart from ours, and only where pictures and model are those of its table.

Source: arXiv:2606.02580v1, section 4.1.
"""

from __future__ import annotations

from collections.abc import Sequence

from protocol.models import Value

SOURCE = "arXiv:2606.02580v1"
MODEL = "Claude Opus 4.7"
MODEL_IDS = ("claude-opus-4-7",)
COLUMNS = ("PSNR ↑", "SSIM ↑", "LPIPS ↓", "DreamSim ↓", "DINO ↑", "CLIP ↑")


class PaperTable(Value):
    number: int
    caption: str
    """As the paper has it."""
    kind: str
    """The layout of a data set that holds its pictures."""
    pictures: int
    scenes: int
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    """The paper's own name for a method, and its figures as they are printed, in the order of `COLUMNS`."""
    chosen: str
    """What the paper leaves open of its pictures."""


TABLES = (
    PaperTable(
        number=1,
        caption=(
            "Quantitative comparison on NeRF synthetic scenes. PSNR, SSIM, LPIPS, DreamSim, DINO, and CLIP between "
            "each method’s reconstructed rendering and the reference image."
        ),
        kind="nerf-paper",
        pictures=35,
        scenes=7,
        rows=(
            ("VIGA VLM-only", ("12.33", "0.7122", "0.3506", "0.3693", "0.6221", "0.8451")),
            ("VIGA full", ("11.18", "0.6647", "0.3944", "0.3624", "0.5545", "0.7986")),
            ("Ours", ("13.58", "0.6881", "0.3493", "0.3021", "0.7188", "0.8830")),
        ),
        chosen="which five pictures of each of the 7 scenes were taken",
    ),
    PaperTable(
        number=2,
        caption=(
            "Quantitative comparison on Edit3D. We report the same metrics as in Tab. 1 over scenes gathered from "
            "(Li et al., 2026)."
        ),
        kind="edit3d",
        pictures=13,
        scenes=13,
        rows=(
            ("VIGA VLM-only", ("11.52", "0.6776", "0.3931", "0.3847", "0.5606", "0.8366")),
            ("VIGA full", ("12.48", "0.6743", "0.4466", "0.4441", "0.4832", "0.7883")),
            ("Ours", ("12.65", "0.6737", "0.3823", "0.3433", "0.6293", "0.8446")),
        ),
        chosen="which 13 scenes were gathered, and from which side each is seen",
    ),
)


def paper_block(kind: str, scenes: Sequence[str], models: Sequence[str]) -> str:
    """The paper's table of this data set in Markdown, with what differs; or why it is left out.

    `kind`: the layout that the data set was named with; `scenes`: the scene of each picture; `models`: ids of those
    that made our runs.
    """
    table = next((table for table in TABLES if table.kind == kind), None)
    if table is None:
        return "The paper's tables are left out: they are of other pictures than these."
    left_out = f"The paper's Table {table.number} is left out"
    if (len(scenes), len(set(scenes))) != (table.pictures, table.scenes):
        there = f"{table.pictures} pictures of {table.scenes} scenes"
        return f"{left_out}: it is of {there}, and here there are {len(scenes)} of {len(set(scenes))}."
    if other := [model for model in models if model not in MODEL_IDS]:
        return f"{left_out}: its runs are by {MODEL}, and here there are some by {', '.join(other)}."
    lines = [f"| as the paper calls it | {' | '.join(COLUMNS)} |", "| --- |" + " ---: |" * len(COLUMNS)]
    lines += [f"| {name} | {' | '.join(figures)} |" for name, figures in table.rows]
    heading = f"Table {table.number} of the paper ({SOURCE}): *{table.caption}*"
    return "\n".join([heading, "", *lines, "", _differs(table)])


def _differs(table: PaperTable) -> str:
    return (
        "These figures are not measured by this program, and are no row of the tables above. The model is the same as "
        "far as its name tells. What differs: where there is a reference mesh, the paper lays each result on it, by "
        "ICP or NDP, and renders it again with the reference's camera, while the first tables above are of the runs' "
        f"own renders. The paper does not say {table.chosen}, nor which variants of SSIM and LPIPS it used, at which "
        "resolution and on which background. So a difference from the figures above says nothing by itself."
    )
