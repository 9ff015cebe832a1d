"""The command line with a scripted model. In the environment:

KILL_AFTER=n            the process kills itself (SIGKILL) right after the n-th line that it adds to the journal
KILL_IN_CALL=n          in the middle of its n-th model call
KILL_AFTER_REMOVAL=n    right after the n-th file of a snapshot that it removes
CLOCK=hours             the wall clock is set that much forward or back again each time that it is read
ASKED=file              notes every model call, TOLD=file its first message
SCRIPT=[[stage, role, calls], …]   adds to the script
"""

import json
import os
import signal
import time
from pathlib import Path

from scripted_model import BUILD, ScriptedModel

from agent import cli, commands
from agent.conversation import reply_key
from agent.runs.journal import Journal


class Noting(ScriptedModel):
    def reply(self, request):
        if len(self.requests) + 1 == int(os.environ.get("KILL_IN_CALL", 0)):
            os.kill(os.getpid(), signal.SIGKILL)
        with open(os.environ["ASKED"], "a") as asked:
            asked.write(reply_key(request) + "\n")
        if "TOLD" in os.environ:
            texts = [block.text for block in request.messages[0].content if block.type == "text"]
            with open(os.environ["TOLD"], "a") as told:
                told.write(json.dumps([request.place.stage, request.place.role, "\n".join(texts)]) + "\n")
        return super().reply(request)


def note_and_die(self, event, **facts):
    note_and_die.left -= 1
    noted(self, event, **facts)
    if note_and_die.left == 0:
        os.kill(os.getpid(), signal.SIGKILL)


def remove_and_die(self, **how):
    removed(self, **how)
    remove_and_die.left -= self.suffix == ".blend" and self.parent.name == "snapshots"
    if remove_and_die.left == 0:
        os.kill(os.getpid(), signal.SIGKILL)


def set_back_and_forth():
    set_back_and_forth.reads += 1
    return told() + (set_back_and_forth.reads % 3 - 1) * 3600 * float(os.environ["CLOCK"])


if "CLOCK" in os.environ:
    told, set_back_and_forth.reads = time.time, 0
    time.time = set_back_and_forth
removed = Path.unlink
remove_and_die.left = int(os.environ.get("KILL_AFTER_REMOVAL", -1))
Path.unlink = remove_and_die
script = {(stage, role): calls for stage, role, calls in json.loads(os.environ.get("SCRIPT", "[]"))}
noted = Journal.note
note_and_die.left = int(os.environ.get("KILL_AFTER", 0))
Journal.note = note_and_die
commands.make_model = lambda config: Noting({**BUILD, **script})
cli.main()
