"""Owns what of a text may go to a terminal: nothing that moves the cursor, changes its colours or turns its direction.

Never imported by Blender.
"""

from __future__ import annotations

import re

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """The text with each control character but tab and newline replaced."""
    return _CONTROLS.sub("�", text)


def on_one_line(text: str) -> str:
    """The same, with each run of blanks as one."""
    return printable(" ".join(text.split()))
