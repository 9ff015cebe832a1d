"""Owns the opening of a run: its journal, ledger, log, screen and Blenders, all closed again however it ends."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from logging.handlers import RotatingFileHandler
from typing import Any

from agent import prompting
from agent.config import Config
from agent.console import Console, Screen
from agent.delivery import Result, isolation
from agent.errors import Interrupted, UsageError
from agent.failures import failure_of
from agent.models.base import Model
from agent.models.prices import DEFAULT_MODEL
from agent.picture import Reference
from agent.pipeline import reconstruct
from agent.runs.budget import Ledger, longest_minutes
from agent.runs.folder import RunFolder
from agent.runs.journal import Journal, write_atomically
from agent.runs.lost import book_lost
from agent.runs.room import Room
from agent.runs.run import Opened
from agent.runs.stopping import stopping
from agent.tools.base import tell
from agent.tools.quick import quick_views
from agent.which_blender import took_part
from protocol.errors import ProcessFault
from sandbox.calling import command
from sandbox.confinement.choosing import choose
from sandbox.discovery import Blender
from sandbox.limits import MIB, Recycled
from sandbox.pool import OnFault, OnRecycled, Pool
from sandbox.snapshots import SnapshotStore

log = logging.getLogger(__name__)

LOG_BYTES, OLDER_LOGS = 8 * MIB, 3
VERSION = 1
"""Of the run folder's format; a run of another is not resumed."""


def _begun(
    folder: RunFolder, config: Config, reference: Reference, model: Model, blender: Blender, source: str
) -> Journal:
    """The run's journal; a new one begins with what the run is."""
    journal = Journal(folder.path, folder.fence)
    write_atomically(folder.reference, reference.png)
    now = {**identity(config, reference), "model": _id_of(model, config)}
    told = {"blender": blender.version, "dialect": blender.facts.dialect}
    if journal.begun:
        folder.result.unlink(missing_ok=True)  # it is written when the run has finished, anew
        journal.note("resumed", **told, pid=os.getpid(), budget=tell(config.budget))
    else:
        journal.note("run", **now, config=tell(config), source=source, **told)
    return journal


@contextlib.contextmanager
def opened(
    folder: RunFolder, config: Config, journal: Journal, model: Model, blender: Blender, screen: Screen, go_on: str
) -> Iterator[Opened]:
    """Open all that a run needs beside its journal; `go_on` says how to go on after a stop."""
    with contextlib.ExitStack() as lifetime:
        lifetime.callback(journal.close)
        ledger = ledger_of(folder, config)
        lifetime.enter_context(stopping(go_on))
        lifetime.enter_context(_log(folder))
        spent_s, facts = ledger.spent().minutes * 60, _facts(folder, ledger)
        console = lifetime.enter_context(
            Console(folder.status, screen.stream, spent_s, progress=screen.progress, facts=facts)
        )
        lifetime.enter_context(_bounded(ledger, config, console.say))
        lifetime.enter_context(_failure_noted(journal, ledger))
        room = lifetime.enter_context(Room(folder.path, config.disk, console, ledger.leave_out))
        journal.room = ledger.room = room
        pool, store = lifetime.enter_context(_pool_of_run(folder, config, blender, journal, console))
        room.watch(pool.folder)
        journal.note("box", level=str(pool.level), word=pool.level.word, blender=blender.version, device=pool.device)
        blenders = f"Blender {blender.version} ({blender.kind})"
        console.say(f"{folder.path}: {model.name} model, {blenders}, isolation {isolation(pool)}")
        journal.tell_of_damage(console.say)
        if lost := book_lost(journal, ledger):
            console.say(f"{lost} model calls were under way when the run was killed; booked at the most they can cost")
        all_of_it = Opened(
            config=config,
            folder=folder,
            journal=journal,
            ledger=ledger,
            console=console,
            model=model,
            blender=blender,
            store=store,
            pool=pool,
            room=room,
        )
        quick_views(all_of_it)  # chosen when the run begins, so that it stays when it is resumed elsewhere
        yield all_of_it


def work_in(
    folder: RunFolder,
    config: Config,
    reference: Reference,
    model: Model,
    blender: Blender,
    source: str,
    screen: Screen,
) -> Result:
    """Do what is left to do of the run; `screen` is where it tells its story."""
    go_on = f"Go on with: {command('resume', folder.path)}"
    before = took_part(folder)
    journal = _begun(folder, config, reference, model, blender, source)
    with opened(folder, config, journal, model, blender, screen, go_on) as all_of_it:
        for note in reference.notes:
            all_of_it.console.say(f"picture: {note}")
        if before and blender.version not in before:
            said = f"goes on with Blender {blender.version}; it was begun with {before[0]}: fingerprints are taken anew"
            journal.note("blender", version=blender.version, before=before, said=said)
            all_of_it.console.say(said)
        for name in _changed_since(folder, config, reference, model):
            all_of_it.console.say(f"the {name} changed since this run began: what differs now is asked again")
        return all_of_it.room.redoing(lambda: reconstruct(all_of_it.run(reference)))


def _id_of(model: Model, config: Config) -> str:
    """What tells one model from another: for a service's, the id that it is asked for."""
    return config.claude_model or DEFAULT_MODEL if model.name == "claude" else model.name


def _changed_since(folder: RunFolder, config: Config, reference: Reference, model: Model) -> list[str]:
    """What replies depend on and is not what it was when the run began."""
    then = folder.first_entry()
    now = {"prompts": identity(config, reference)["prompts"], "model": _id_of(model, config)}
    return [name for name, value in now.items() if then.get(name, value) != value]


def _facts(folder: RunFolder, ledger: Ledger) -> Callable[[], dict[str, Any]]:
    """What status.json tells beside where the run is."""
    attempts = folder.attempts()

    def facts() -> dict[str, Any]:
        folder.fence()
        spent = ledger.spent()
        return {"calls": spent.calls, "tokens": spent.tokens, "usd": spent.usd, "attempts": attempts}

    return facts


@contextlib.contextmanager
def _bounded(ledger: Ledger, config: Config, say: Callable[[str], None]) -> Iterator[None]:
    """Interrupt a run that goes far beyond its time, which it looks at between calls: whatever it waits for hangs."""
    minutes, ended = config.budget.minutes, threading.Event()

    def watch() -> None:
        """By the ledger, from which the time without room on a disk is left out."""
        while (left := longest_minutes(minutes) - ledger.spent().minutes) > 0:
            if ended.wait(60 * left):
                return
        say(f"the run has taken {ledger.spent().minutes:.0f} minutes, far beyond its {minutes:.10g}: it is stopped")
        os.kill(os.getpid(), signal.SIGUSR1)

    threading.Thread(target=watch, name="bound", daemon=True).start()
    try:
        yield
    finally:
        ended.set()


@contextlib.contextmanager
def _failure_noted(journal: Journal, ledger: Ledger) -> Iterator[None]:
    """What ends a run without a result is an event of it; not being asked to stop, which leaves no time."""
    try:
        yield
    except Interrupted:
        raise
    except Exception as error:
        failure = failure_of(error)
        log.error("the run failed", exc_info=error)
        with contextlib.suppress(OSError):  # a full disk may well be the failure
            said = {"message": str(error), "exit_code": failure.exit_code, "failure_class": failure.failure_class}
            journal.note("failed", kind=type(error).__name__, minutes=ledger.spent().minutes, **said)
        raise


@contextlib.contextmanager
def pool_of(
    folder: RunFolder,
    config: Config,
    blender: Blender,
    on_fault: OnFault | None = None,
    say: Callable[[str], None] = log.info,
    on_recycled: OnRecycled | None = None,
) -> Iterator[tuple[Pool, SnapshotStore]]:
    store, limits = SnapshotStore(folder.snapshots), config.limits.of_any_process()
    level = choose(config.level, config.require_level)
    with Pool(
        blender,
        limits,
        store,
        folder.logs,
        config.standby,
        on_fault,
        level,
        config.gpu,
        say,
        config.limits.recycling(),
        on_recycled,
    ) as pool:
        yield pool, store


def _pool_of_run(
    folder: RunFolder, config: Config, blender: Blender, journal: Journal, console: Console
) -> contextlib.AbstractContextManager[tuple[Pool, SnapshotStore]]:
    """Every Blender that is lost, or that a fresh one takes the place of, is an event of the run."""

    def lost(fault: ProcessFault) -> None:
        journal.note("fault", kind=fault.kind, method=fault.method, message=fault.message, level=fault.level)

    def recycled(one: Recycled) -> None:
        journal.note("recycled", **one.model_dump())

    return pool_of(folder, config, blender, lost, console.say, recycled)


@contextlib.contextmanager
def _log(folder: RunFolder) -> Iterator[None]:
    """What happens in detail goes to logs/agent.log, of which the newest part is kept."""
    file = folder.logs / "agent.log"
    handler = RotatingFileHandler(file, maxBytes=LOG_BYTES, backupCount=OLDER_LOGS, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()


def identity(config: Config, reference: Reference) -> dict[str, Any]:
    return {
        "version": VERSION,
        "image": reference.digest,
        "settings": config.digest(),
        "prompts": prompting.prompts_digest(),
    }


def begun_as(folder: RunFolder) -> tuple[dict[str, Any], Config]:
    """What the run was started with, and its settings, with the budget that it was last given."""
    entry = folder.first_entry()
    try:
        config = Config.model_validate(entry["config"])
        return entry, config.model_copy(update={"budget": folder.history().budget or config.budget})
    except ValueError:
        message = f"{folder.journal} begins with settings that this version does not know."
        raise UsageError(message, "Start anew with --fresh, or in another folder.") from None


def ledger_of(folder: RunFolder, config: Config) -> Ledger:
    return Ledger(folder.ledger, config.budget, folder.history().minutes, folder.fence)
