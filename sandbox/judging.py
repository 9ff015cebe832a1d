"""Owns the standby's part in a commit: open a proposed file where no generated code ever runs, and say what it is."""

from __future__ import annotations

from pathlib import Path

from protocol.errors import ProcessFault, RequestFailed
from protocol.models import DescribeReply, DescribeRequest, FingerprintReply, FingerprintRequest
from sandbox.comparison import Change, with_details
from sandbox.snapshots import SnapshotUnfit
from sandbox.worker import Worker

DESCRIBED_AT_MOST = 40


class Judge:
    """Uses a standby for the length of a `with` block of the pool's."""

    def __init__(self, standby: Worker) -> None:
        self._standby = standby

    def open(self, file: Path | None) -> None:
        """Open a copy of a file, or the empty start."""
        try:
            self._standby.restore(file)
        except RequestFailed as error:
            raise SnapshotUnfit(f"what was saved cannot be opened: {error.message}") from error
        except ProcessFault as fault:
            raise SnapshotUnfit(f"what was saved cannot be opened: Blender {fault.message} on it") from fault

    def save(self, target: Path) -> None:
        """Copy the open scene's file into an empty one."""
        self._standby.save(target)

    def fingerprint(self) -> FingerprintReply:
        try:
            reply, _ = self._standby.call(FingerprintRequest())
        except (RequestFailed, ProcessFault) as error:
            raise SnapshotUnfit(f"the scene cannot be examined: {error.message}") from error
        assert isinstance(reply, FingerprintReply)
        return reply

    def explain(self, changes: tuple[Change, ...], parent: Path) -> tuple[Change, ...]:
        """The same changes with what exactly differs between the open file and its parent."""
        asked = changes[:DESCRIBED_AT_MOST]
        keys = tuple((change.found_in, change.key) for change in asked)
        try:
            after = self._describe(keys)
            self._standby.restore(parent)
            before = self._describe(keys)
        except (RequestFailed, ProcessFault):  # the verdict stands without its details
            return changes
        return tuple(with_details(change, before, after) for change in asked) + changes[DESCRIBED_AT_MOST:]

    def _describe(self, keys: tuple[tuple[str, str], ...]) -> DescribeReply:
        reply, _ = self._standby.call(DescribeRequest(keys=keys))
        assert isinstance(reply, DescribeReply)
        return reply
