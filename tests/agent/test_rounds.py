"""An approved attempt that measurably ruins the picture is not the silent winner."""

import pytest

from agent.evaluation.measures import Measures
from agent.stages.rounds import RUIN_DB, Attempt, _is_ruin


def attempt(psnr_db, ssim):
    black = (0.0, 0.0, 0.0)
    measures = Measures(
        psnr_db=psnr_db,
        ssim=ssim,
        iou=None,
        edge_px=1.0,
        luminance_ratio=1.0,
        mean_color_reference=black,
        mean_color_render=black,
        clipped_fraction=0.0,
        black_fraction=0.0,
    )
    return Attempt(snapshot_id="0" * 64, png=b"x", measures=measures)


@pytest.mark.parametrize(
    ("earlier", "last", "is_ruin"),
    [
        ((20.0, 0.6), (15.0, 0.4), True),
        ((20.0, 0.6), (20.0 - RUIN_DB / 2, 0.5), False),
        ((20.0, 0.6), (15.0, 0.7), False),
        ((15.0, 0.4), (20.0, 0.6), False),
    ],
)
def test_clearly_lower_figures_put_an_approved_attempt_to_a_vote(earlier, last, is_ruin):
    assert _is_ruin([attempt(*earlier), attempt(*last)]) is is_ruin


def test_an_attempt_that_cannot_be_rendered_is_a_ruin():
    assert _is_ruin([attempt(20.0, 0.6), Attempt(snapshot_id="0" * 64)])
