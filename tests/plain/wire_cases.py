"""Frames and errors: what is said is what is heard, and what is no message of ours is refused."""

import random
import threading
import unittest

import msgpack
import zmq

from protocol import errors, wire

HEADER = {
    "v": 1, "kind": "reply", "epoch": "e", "id": 1, "method": "hello", "status": "ok", "message": "", "deadline_s": 0.0,
}  # fmt: skip


def frames(body=b"\x80", **header):
    """What `encode` would make, with some header fields replaced and others added."""
    return [msgpack.packb(dict(HEADER, **header), use_bin_type=True), body]


class Frames(unittest.TestCase):
    def test_a_message_comes_out_as_it_went_in(self):
        body = {"none": None, "yes": True, "most": 2**64 - 1, "least": -(2**63), "pi": 3.5, "name": "Straße", "": {}}
        body["bytes"], body["list"] = b"\0\xff", [1, ["a", {"b": []}]]
        message = wire.Message(wire.REQUEST, "epoch", 7, "execute", deadline_s=2.5, body=body, payloads=(b"", b"x" * 9))
        self.assertEqual(wire.decode(wire.encode(message)), message)

    def test_half_a_surrogate_pair_becomes_a_question_mark(self):
        heard = wire.decode(wire.encode(wire.Message(wire.REPLY, "e", 1, "execute", body={"stdout": "a\ud800b"})))
        self.assertEqual(heard.body, {"stdout": "a?b"})

    def test_what_cannot_be_packed_is_a_wire_error(self):
        endless = {}
        endless["self"] = endless
        for value in (object(), 2**64, endless):
            with self.assertRaises(wire.WireError):
                wire.encode(wire.Message(wire.REPLY, "e", 1, "m", body={"value": value}))

    def test_a_header_that_is_not_ours_is_refused(self):
        wrong = ({"v": 2}, {"kind": "publish"}, {"id": -1}, {"id": True}, {"id": "1"}, {"deadline_s": 1}, {"more": 1})
        for header in wrong:
            with self.subTest(header=header), self.assertRaises(wire.WireError):
                wire.decode(frames(**header))

    def test_a_body_that_is_no_map_with_text_keys_or_holds_extensions_is_refused(self):
        bodies = [msgpack.packb([1]), msgpack.packb({1: 2}), msgpack.packb({"a": msgpack.ExtType(5, b"x")})]
        bodies += [msgpack.packb({"a": msgpack.Timestamp(1)}), b"\xc1", b"\xdd\xff\xff\xff\xff", b"\x91" * 100000]
        for body in bodies:
            with self.subTest(body=body[:20]), self.assertRaises(wire.WireError):
                wire.decode(frames(body))

    def test_caps_hold_both_ways(self):
        message = wire.Message(wire.REPLY, "e", 1, "m", payloads=(b"x" * 2000,))
        with self.assertRaises(wire.WireError):
            wire.encode(message, limit_bytes=1000)
        with self.assertRaises(wire.WireError):
            wire.decode(wire.encode(message), limit_bytes=1000)
        with self.assertRaises(wire.WireError):
            wire.decode(frames()[:1])

    def test_random_damage_never_escapes_as_another_error(self):
        whole = wire.encode(wire.Message(wire.REPLY, "e" * 32, 3, "render", body={"width_px": 3, "names": ["a", "b"]}))
        dice, refused = random.Random(0), 0
        for _ in range(500):
            damaged = [bytearray(frame) for frame in whole]
            frame = dice.choice(damaged)
            frame[dice.randrange(len(frame))] = dice.randrange(256)
            try:
                wire.decode([bytes(part) for part in damaged])
            except wire.WireError:
                refused += 1
        self.assertGreater(refused, 100)


class Sockets(unittest.TestCase):
    """What the server does with pyzmq, on both of its sockets."""

    def test_a_message_crosses_and_an_echo_answers_from_a_thread_that_needs_no_python(self):
        context = zmq.Context()
        self.addCleanup(context.term)  # last: it ends the echo, which closes the socket that only its thread may touch
        router, near, far, asking = (context.socket(kind) for kind in (zmq.ROUTER, *[zmq.DEALER] * 3))
        for socket in (router, near, asking):
            self.addCleanup(socket.close, 0)
        router.bind("inproc://r")
        near.connect("inproc://r")
        message = wire.Message(wire.REPLY, "e", 3, "render", payloads=(b"picture" * 100000,))
        near.send_multipart(wire.encode(message))
        self.assertTrue(router.poll(5000))
        self.assertEqual(wire.decode(router.recv_multipart()[1:]), message)

        asking.bind("inproc://e")
        events = far.get_monitor_socket(zmq.EVENT_CONNECTED)
        self.addCleanup(events.close, 0)
        far.connect("inproc://e")
        far.disable_monitor()
        threading.Thread(target=_echo, args=(far,), daemon=True).start()
        asking.send(b"alive?")
        self.assertTrue(asking.poll(5000))
        self.assertEqual(asking.recv(), b"alive?")


def _echo(socket):
    try:
        zmq.proxy(socket, socket)
    except zmq.ZMQError:
        pass  # the context ends
    finally:
        socket.close(0)


class Errors(unittest.TestCase):
    def test_a_failed_script_carries_its_traceback_and_what_it_printed(self):
        data = {"traceback": "Traceback …", "stdout": "1\n", "patched": ["os.open", 3]}
        failed = errors.ScriptFailed("execute", "it raised", data)
        self.assertEqual((failed.code, failed.traceback_text, failed.stdout), ("script_error", "Traceback …", "1\n"))
        self.assertEqual(failed.patched, ("os.open", "3"))
        self.assertEqual(str(failed), "execute: it raised (script_error)")
        self.assertEqual(errors.ScriptFailed("execute", "it raised").traceback_text, "it raised")

    def test_each_fault_is_found_by_the_word_that_the_model_is_told(self):
        self.assertEqual(set(errors.FAULTS), {"deadline", "oom", "crashed", "exited", "protocol_error"})
        for kind, fault in errors.FAULTS.items():
            raised = fault("execute", "why", "tail")
            self.assertIsInstance(raised, errors.BlenderError)
            self.assertEqual((raised.kind, str(raised), raised.log_tail), (kind, "execute: why", "tail"))
