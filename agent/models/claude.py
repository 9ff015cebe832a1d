"""Owns the Claude model: the official SDK behind our interface, with patience, one reply at a time.

What is said is translated in `claude_messages`, what a failure means in `claude_failures`, what it costs in `prices`.
The SDK's own settings (ANTHROPIC_BASE_URL, ANTHROPIC_AUTH_TOKEN, profiles, …) hold. The key is shown nowhere.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from agent.errors import ModelRefused, ModelUnavailable, RunError
from agent.models.base import ModelReply, ModelRequest, Role, Usage
from agent.models.claude_failures import PassingFailure, failure_of, patience_of, wait_s
from agent.models.claude_messages import CacheTime, model_reply, most_tokens, request_body
from agent.models.prices import DEFAULT_MODEL, dollars
from protocol.models import Value

if TYPE_CHECKING:
    import anthropic
    from anthropic.lib.streaming import MessageStream
    from anthropic.types import Message
    from tenacity import RetryCallState

log = logging.getLogger(__name__)

KEY_FILE = "ANTHROPIC_API_KEY_FILE"
"""Names a file that only its owner may read and that holds the key, where the environment must not."""
Effort = Literal["low", "medium", "high", "xhigh", "max"]


class ClaudeSettings(Value):
    model: str = DEFAULT_MODEL
    model_by_role: dict[Role, str] = Field(default_factory=dict)
    """Where it differs."""
    effort: Effort | None = "high"
    """None leaves it to the service."""
    effort_by_role: dict[Role, Effort] = Field(default_factory=dict)
    """Where it differs."""
    thinking: Literal["adaptive", "service", "off"] = "adaptive"
    """adaptive: as much as the model finds useful; service: its default for the model; off where a model allows it."""
    max_tokens: PositiveInt = 64_000
    """Of one reply, its thinking included."""
    cache_time: CacheTime = "5m"
    """How long the service keeps a prompt's beginning; an hour costs more to write."""
    patience_s: PositiveFloat = 600.0
    """How long failures of one call are borne, from the first."""
    silence_s: PositiveFloat = 600.0
    """Longest time without a byte from the service."""
    call_s: PositiveFloat = 3600.0
    """Longest time for one attempt."""


OLDER = re.compile(r"claude-(3|[a-z]+-4-(0|1|5)(-|$)|[a-z]+-4-20)")
"""Models that know neither effort nor adaptive thinking, and are asked for neither."""


def key_present() -> bool:
    """Whether Claude can be asked at all, as far as the environment tells."""
    return any(os.environ.get(name) for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", KEY_FILE))


class Claude:
    """May be called from several threads."""

    name = "claude"

    def __init__(self, settings: ClaudeSettings | None = None, sleep: Callable[[float], None] = time.sleep) -> None:
        self._settings = settings or ClaudeSettings()
        self._sleep = sleep
        self._client = _client(self._settings)

    def reply(self, request: ModelRequest) -> ModelReply:
        import tenacity

        model = self._settings.model_by_role.get(request.place.role, self._settings.model)
        body, failed = self._body(request, model), list[int]()
        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(PassingFailure),
            wait=wait_s,
            stop=patience_of(self._settings.patience_s),
            sleep=self._sleep,
            before_sleep=lambda state: failed.append(_told(state)),
            reraise=True,
        )
        try:
            message = attempts(self._attempt, body, model)
        except PassingFailure as error:
            raise ModelUnavailable(
                f"the model service gave no reply in {self._settings.patience_s / 60:g} min: {error.reason}.",
                "Resume the run later; nothing that was answered is asked again.",
            ) from error
        return model_reply(message, model, failed)

    def worst_case(self, request: ModelRequest) -> Usage:
        """Nothing read from the cache, all written to it, and a reply as long as it may be."""
        model = self._settings.model_by_role.get(request.place.role, self._settings.model)
        asked, replied = most_tokens(self._body(request, model)), self._settings.max_tokens
        written_1h = asked if self._settings.cache_time == "1h" else 0
        usd = dollars(model, input=0, output=replied, cache_write_5m=asked - written_1h, cache_write_1h=written_1h)
        return Usage(cache_write_tokens=asked, output_tokens=replied, usd=usd)

    def _body(self, request: ModelRequest, model: str) -> dict[str, Any]:
        settings = self._settings
        body = request_body(request, model, settings.cache_time)
        body |= {"model": model, "max_tokens": settings.max_tokens}
        if OLDER.match(model):
            return body
        if effort := settings.effort_by_role.get(request.place.role, settings.effort):
            body["output_config"] = {"effort": effort}
        if settings.thinking == "adaptive":
            body["thinking"] = {"type": "adaptive", "display": "summarized"}
        elif settings.thinking == "off":
            body["thinking"] = {"type": "disabled"}
        return body

    def _attempt(self, body: dict[str, Any], model: str) -> Message:
        import anthropic

        try:
            with self._client.messages.stream(**body) as stream, _closed_after(stream, self._settings.call_s):
                return _read(stream)
        except anthropic.APIError as error:
            raise _stop_in(error) or failure_of(error, model) from None


def _read(stream: MessageStream[None]) -> Message:
    import anthropic

    try:
        message = stream.get_final_message()
    except (anthropic.AnthropicError, RunError):
        raise
    except Exception as error:  # whatever a cut or garbled stream makes of the SDK's parser and transport
        raise PassingFailure(f"the reply broke off ({type(error).__name__}: {str(error)[:200]})") from None
    if message.stop_reason is None:
        raise PassingFailure("the reply broke off before its end")
    return message


def _stop_in(error: BaseException | None) -> RunError | None:
    """What a signal raised in the middle of a call: the SDK takes it for a failure of the connection."""
    while error is not None and not isinstance(error, RunError):
        error = error.__cause__ or error.__context__
    return error


@contextlib.contextmanager
def _closed_after(stream: MessageStream[None], seconds: float) -> Iterator[None]:
    """The service's keep-alive signs would else hold a stuck reply open for ever."""
    timer = threading.Timer(seconds, stream.close)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _client(settings: ClaudeSettings) -> anthropic.Anthropic:
    import anthropic

    timeout = anthropic.Timeout(settings.silence_s, connect=10.0)
    key = None if os.environ.get("ANTHROPIC_API_KEY") else _key_from_file()
    try:
        client = anthropic.Anthropic(api_key=key, max_retries=0, timeout=timeout)
    except anthropic.AnthropicError as error:
        raise _no_key(f": {error}") from None
    if client.api_key is None and client.auth_token is None and client.credentials is None:
        raise _no_key()
    return client


def _no_key(why: str = "") -> ModelRefused:
    return ModelRefused(f"there is no key for Claude{why}.", "Set ANTHROPIC_API_KEY, or run with --model offline.")


def _key_from_file() -> str | None:
    name = os.environ.get(KEY_FILE)
    if not name:
        return None
    try:
        with Path(name).open(encoding="utf-8") as file:
            if os.name == "posix" and stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise ModelRefused(f"the key file {name} may be read by others.", f"Run: chmod 600 {name}")
            return file.read().strip() or None
    except OSError as error:
        raise ModelRefused(f"the key file {name} cannot be read: {error.strerror}.", f"Correct {KEY_FILE}.") from None


def _told(state: RetryCallState) -> int:
    """The HTTP status of an attempt that failed."""
    error = state.outcome.exception() if state.outcome else None
    wait = state.upcoming_sleep
    log.warning("model call failed (attempt %d): %s; asking again in %.0f s", state.attempt_number, error, wait)
    return error.http if isinstance(error, PassingFailure) else 0
