"""Proves that a recording answers what was asked, only that, and says where and why it cannot."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from agent.errors import ConfigurationError
from agent.models.base import (
    Message,
    ModelReply,
    ModelRequest,
    Picture,
    Place,
    Text,
    ToolResult,
    ToolSpec,
    reply_key,
    request_digest,
)
from agent.models.recorded import RecordedModel


def request(color="red", ordinal=0, said="Judge.", size=(8, 6), caption="target view"):
    written = io.BytesIO()
    Image.new("RGB", size, color).save(written, "PNG")
    shown = Picture(png=written.getvalue(), caption=caption)
    result = ToolResult(call_id="t", content=(Text(text=said), shown))
    return ModelRequest(
        place=Place(rollout=-1, stage="geometry", round=2, role="verifier", ordinal=ordinal),
        system="You judge.",
        messages=(Message(role="user", content=(result, shown)),),
        tools=(ToolSpec(name="verdict", description="Ends.", schema_={"type": "object"}),),
        seed=0,
    )


REPLY = ModelReply(content=(Text(text="Good."),), stop="end", model="m")


def recording(*requests):
    return RecordedModel({reply_key(one): REPLY for one in requests})


def test_a_recorded_request_gets_its_reply():
    assert recording(request()).reply(request()) == REPLY


def test_pixels_may_differ_between_machines():
    assert recording(request("red")).reply(request("blue")) == REPLY


@pytest.mark.parametrize("changes", [{"said": "Other."}, {"size": (8, 7)}, {"caption": "comparison"}])
def test_everything_else_is_part_of_the_digest(changes):
    assert request_digest(request(**changes)) != request_digest(request())
    with pytest.raises(ConfigurationError, match="-1/geometry/2/verifier/0 answers another request"):
        recording(request()).reply(request(**changes))


def test_a_place_that_was_never_reached_is_named():
    with pytest.raises(ConfigurationError, match=r"no reply at -1/geometry/2/verifier/1 \(rollout"):
        recording(request()).reply(request(ordinal=1))


def test_an_empty_recording_says_so():
    with pytest.raises(ConfigurationError, match="holds no replies"):
        recording().reply(request())
