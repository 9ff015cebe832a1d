"""What runs inside Blender, as far as it can be without one: each file compiles, and what needs no bpy works."""

import array
import importlib
import os
import platform
import subprocess
import sys
import tempfile
import types
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INSIDE = [
    *sorted((ROOT / "blender_server").rglob("*.py")),
    *(ROOT / "protocol" / name for name in ("__init__.py", "errors.py", "wire.py")),
    ROOT / "sandbox" / "probe_questions.py",
    ROOT / "sandbox" / "confinement" / "attempts.py",
]
BLENDERS_OWN = {"bpy", "bmesh", "mathutils", "gpu", "idprop", "_cycles"}
WITHOUT_BLENDER = {"bootstrap", "buffers", "coverage", "refusals", "shutting", "temporary"}
"""Modules of blender_server that need no bpy."""


class Files(unittest.TestCase):
    def test_each_compiles(self):
        for file in INSIDE:
            with self.subTest(file=file.name):
                compile(file.read_text(encoding="utf-8"), str(file), "exec", dont_inherit=True)

    def test_each_lacks_nothing_here_but_blender(self):
        loaded = set()
        for file in sorted((ROOT / "blender_server").glob("*.py")):
            try:
                importlib.import_module("blender_server." + file.stem)
                loaded.add(file.stem)
            except ImportError as error:
                self.assertIn(error.name, BLENDERS_OWN, "{}: {}".format(file.name, error))
        self.assertLessEqual(WITHOUT_BLENDER, loaded)


class Bootstrap(unittest.TestCase):
    """The way in, up to the point where Blender is needed."""

    def start(self, *options):
        bootstrap = ROOT / "blender_server" / "bootstrap.py"
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-I", str(bootstrap), "--", "--folder", folder, "--epoch", "e"]
            done = subprocess.run(
                command + list(options), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False
            )
            return done.returncode, done.stdout.decode(), sorted(os.listdir(folder))

    def test_with_a_folder_of_libraries_and_without_one_it_comes_as_far_as_bpy(self):
        for options in (["--vendor", sys.path[1]], []):
            code, said, left = self.start(*options)
            self.assertEqual(code, 1)
            self.assertIn("No module named 'bpy'", said)
            self.assertEqual(left, ["faults.log"])


class Elements:
    """As much of a collection of Blender's as a reader of buffers sees."""

    def __init__(self, *numbers):
        self.numbers = numbers

    def __len__(self):
        return len(self.numbers) // 2

    def foreach_get(self, name, buffer):
        if name != "uv":
            raise AttributeError(name)
        buffer[:] = array.array(buffer.typecode, self.numbers)


class Buffers(unittest.TestCase):
    def test_one_property_of_all_elements_is_one_buffer(self):
        from blender_server import buffers

        self.assertEqual(buffers.values(Elements(1, 2, 3, 4), "uv", "f", 2), array.array("f", [1, 2, 3, 4]))
        self.assertEqual(buffers.values(Elements(), "anything", "i", 2), array.array("i"))

    def test_attributes_come_by_name_and_those_of_the_editor_are_left_out(self):
        from blender_server import buffers

        named = [types.SimpleNamespace(name=name) for name in ("uv", ".select_vert", "color")]
        owner = types.SimpleNamespace(attributes=named)
        self.assertEqual([name for name, _ in buffers.attributes(owner)], ["color", "uv"])


class Temporary(unittest.TestCase):
    def test_what_was_set_is_put_back_latest_first_even_after_an_error(self):
        from blender_server.temporary import Temporary

        known = {"samples": types.SimpleNamespace(), "size": types.SimpleNamespace(is_array=True)}
        owner = types.SimpleNamespace(samples=4, size=[1, 2], bl_rna=types.SimpleNamespace(properties=known))
        with self.assertRaises(KeyError), Temporary() as temporary:
            temporary.set(owner, samples=8, size=[3, 4])
            temporary.set_where_known(owner, samples=16, unheard_of=1)
            self.assertEqual((owner.samples, owner.size), (16, [3, 4]))
            raise KeyError
        self.assertEqual((owner.samples, owner.size), (4, (1, 2)))
        self.assertFalse(hasattr(owner, "unheard_of"))


class Refusals(unittest.TestCase):
    def test_a_refusal_carries_code_message_and_data(self):
        from blender_server.refusals import Refusal

        refusal = Refusal("not_found", "no such object", name="Cube")
        self.assertEqual((refusal.code, str(refusal), refusal.data), ("not_found", "no such object", {"name": "Cube"}))


class Shutting(unittest.TestCase):
    @unittest.skipUnless(sys.platform == "linux" and platform.machine() in ("x86_64", "aarch64"), "Linux only")
    def test_no_more_sockets_are_made_but_pairs_of_streams(self):
        code = (
            "import ctypes, socket, sys; sys.path.insert(0, {!r}); from blender_server import shutting\n"
            "ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)\n"  # PR_SET_NO_NEW_PRIVS, which the launcher sets for a Blender
            "shutting.make_no_more_sockets(); socket.socketpair()\n"
            "try: socket.socket(socket.AF_UNIX)\n"
            "except PermissionError: print('refused')"
        ).format(str(ROOT))
        done = subprocess.run(
            [sys.executable, "-I", "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=30,
            check=False,
        )
        self.assertEqual(done.stdout.decode().split(), ["refused"])
