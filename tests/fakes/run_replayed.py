"""The command line, replaying a recording. In the environment, PROMPTS: a folder of other prompts; DESCRIBED: what the
tool `look` is said to do; BILLED: book what the service would bill for each request.
"""

import dataclasses
import os
from pathlib import Path

from agent import cli, commands, prompting
from agent.models.base import Usage
from agent.models.claude_messages import request_body
from agent.models.recorded import RecordedModel
from agent.runs.recording import read_replies
from agent.tools.table import ALL
from tests.fakes.messages_api import MessagesApi


class Billed(RecordedModel):
    api = MessagesApi()

    def reply(self, request):
        bill = self.api.bill(request_body(request, "m", "5m") | {"model": "m"})
        usage = Usage(
            input_tokens=bill["input_tokens"],
            cache_read_tokens=bill["cache_read_input_tokens"],
            cache_write_tokens=bill["cache_creation_input_tokens"],
            usd=0.0,
        )
        return super().reply(request).model_copy(update={"usage": usage})


prompting.PROMPTS = Path(os.environ.get("PROMPTS", prompting.PROMPTS))
if described := os.environ.get("DESCRIBED"):
    ALL["look"] = dataclasses.replace(ALL["look"], description=described)
if "BILLED" in os.environ:
    commands.make_model = lambda config: Billed(read_replies(config.recording))
cli.main()
