import pickle
import random

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import wire

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def frames(body=None, payloads=(), **header):
    """What `encode` would make, with some header fields replaced and others added."""
    usual = {
        "v": 1, "kind": "reply", "epoch": "e", "id": 1, "method": "hello", "status": "ok", "message": "",
        "deadline_s": 0.0,
    }  # fmt: skip
    return [msgpack.packb(usual | header), msgpack.packb({} if body is None else body), *payloads]


@given(body=st.dictionaries(st.text(), plain, max_size=5), payloads=st.lists(st.binary(max_size=50), max_size=3))
def test_a_message_comes_out_as_it_went_in(body, payloads):
    message = wire.Message(wire.REQUEST, "epoch", 7, "execute", deadline_s=2.5, body=body, payloads=tuple(payloads))
    assert wire.decode(wire.encode(message)) == message


def test_tuples_arrive_as_lists():
    assert wire.decode(frames({"at": (1, 2)})).body == {"at": [1, 2]}


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_garbage_is_refused_as_a_wire_error(garbage):
    with pytest.raises(wire.WireError):
        wire.decode(garbage)


def test_random_damage_to_a_real_message_never_escapes_as_another_error():
    whole = wire.encode(wire.Message(wire.REPLY, "e" * 32, 3, "render", body={"width_px": 3, "names": ["a", "b"]}))
    dice = random.Random(0)
    for _ in range(2000):
        damaged = [bytearray(frame) for frame in whole]
        frame = dice.choice(damaged)
        frame[dice.randrange(len(frame))] = dice.randrange(256)
        try:
            wire.decode([bytes(part) for part in damaged])
        except wire.WireError:
            pass


@pytest.mark.parametrize(
    "header",
    [
        {"v": 2},
        {"kind": "publish"},
        {"id": -1},
        {"id": True},
        {"id": "1"},
        {"epoch": b"e"},
        {"deadline_s": 1},
        {"status": None},
        {"extra": 1},
    ],
    ids=str,
)
def test_a_header_with_other_fields_types_or_version_is_refused(header):
    with pytest.raises(wire.WireError):
        wire.decode(frames(**header))


def test_a_header_without_a_field_is_refused():
    with pytest.raises(wire.WireError, match="header fields"):
        wire.decode([msgpack.packb({"v": 1}), msgpack.packb({})])


@pytest.mark.parametrize(
    "body",
    [
        msgpack.packb([1]),
        msgpack.packb({1: 2}),
        msgpack.packb({b"a": 2}),
        msgpack.packb({"a": msgpack.ExtType(5, b"x")}),
        msgpack.packb({"a": msgpack.Timestamp(1)}),
        b"\x91" * 100_000 + b"\xc0",
        b"\xdf\xff\xff\xff\xff",
        b"\x81\xa1a\xc6\xff\xff\xff\xff",
        msgpack.packb({}) + b"\x00",
        pickle.dumps({"a": 1}),
        b"",
    ],
    ids=[
        "list",
        "number key",
        "bytes key",
        "ext",
        "time",
        "nested",
        "huge map",
        "huge bytes",
        "tail",
        "pickle",
        "none",
    ],
)
def test_a_body_that_is_no_plain_map_is_refused(body):
    with pytest.raises(wire.WireError):
        wire.decode([frames()[0], body])


def test_sizes_are_capped_on_both_sides():
    with pytest.raises(wire.WireError, match="header of"):
        wire.encode(wire.Message(wire.REPLY, "e", 1, "hello", message="x" * wire.HEADER_BYTES))
    large = wire.Message(wire.REPLY, "e", 1, "render", payloads=(b"x" * 1000,))
    with pytest.raises(wire.WireError, match="allowed"):
        wire.encode(large, limit_bytes=1000)
    with pytest.raises(wire.WireError, match="allowed"):
        wire.decode(wire.encode(large), limit_bytes=1000)
    with pytest.raises(wire.WireError, match="frames"):
        wire.decode(frames(payloads=[b""] * (wire.PAYLOADS + 1)))


def test_half_a_surrogate_pair_becomes_a_question_mark():
    message = wire.Message(wire.REPLY, "e", 1, "execute", message="\ud83d!", body={"stdout": "\udcff"})
    arrived = wire.decode(wire.encode(message))
    assert (arrived.message, arrived.body) == ("?!", {"stdout": "?"})


def test_what_cannot_be_packed_is_a_wire_error():
    with pytest.raises(wire.WireError, match="cannot be packed"):
        wire.encode(wire.Message(wire.REPLY, "e", 1, "inspect", body={"what": object()}))
