"""Owns what a failed call means: wait and ask again, or give up with the reason and the way out."""

from __future__ import annotations

import email.utils
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from agent.errors import ModelRefused

if TYPE_CHECKING:
    from anthropic import APIError, APIStatusError
    from tenacity import RetryCallState

LONGEST_WAIT_S = 60.0
_PASSING_STATUS = frozenset({408, 409, 425, 429, 499})
_PASSING_TYPES = frozenset({"rate_limit_error", "overloaded_error", "api_error", "timeout_error"})
_KIND_OF_STATUS = {401: "key", 402: "money", 403: "permission", 404: "model", 413: "size"}
_KIND_OF_TYPE = {
    "authentication_error": "key",
    "billing_error": "money",
    "permission_error": "permission",
    "not_found_error": "model",
    "request_too_large": "size",
}
_REFUSALS = {
    "key": ("refuses the key", "Put a valid key into ANTHROPIC_API_KEY, or run with --model offline."),
    "money": ("wants no more spent", "Add credit or raise the limit of the account, then resume the run."),
    "permission": ("does not permit this", "Use a key with access to the model, or name another model."),
    "model": ("does not know the model {model!r}", "Name another model id, or check ANTHROPIC_BASE_URL."),
    "size": ("finds the request too large", "Lower the number of calls per attempt or the size of the pictures."),
    "request": ("refuses the request", "If it names a setting such as thinking or effort, change that setting."),
}


class PassingFailure(Exception):
    """This attempt failed in a way that the next may not."""

    def __init__(self, reason: str, http: int = 0, retry_after_s: float | None = None) -> None:
        """`http`: the status; 0 where there was none."""
        super().__init__(reason)
        self.reason, self.http, self.retry_after_s = reason, http, retry_after_s


def failure_of(error: APIError, model: str) -> PassingFailure | ModelRefused:
    """What an error of the SDK means. Its request, which holds the key, is left behind."""
    import anthropic

    if not isinstance(error, anthropic.APIStatusError):
        cause = error.__cause__ or error
        return PassingFailure(f"no connection ({type(cause).__name__}: {cause})")
    if "spend_limit" in (error.error_code or ""):
        return _refusal("money", error, model)
    if error.type in _PASSING_TYPES or (error.type is None and _is_passing(error.status_code)):
        return PassingFailure(_said(error), error.status_code, _retry_after_s(error))
    if error.type in _KIND_OF_TYPE or error.status_code in _KIND_OF_STATUS:
        kind = _KIND_OF_TYPE.get(error.type or "") or _KIND_OF_STATUS[error.status_code]
        return _refusal(kind, error, model)
    if _is_passing(error.status_code):
        return PassingFailure(_said(error), error.status_code, _retry_after_s(error))
    return _refusal("request", error, model)


def _is_passing(status: int) -> bool:
    return status >= 500 or status in _PASSING_STATUS


def _refusal(kind: str, error: APIStatusError, model: str) -> ModelRefused:
    what, remedy = _REFUSALS[kind]
    return ModelRefused(f"the model service {what.format(model=model)}: {_said(error)}.", remedy)


def _said(error: APIStatusError) -> str:
    text = (error.api_message or "").strip().rstrip(".") or "no reason given"
    return f"{text[:500]} (HTTP {error.status_code})"


def _retry_after_s(error: APIStatusError) -> float | None:
    """Seconds, from a header that may also hold a date."""
    text = error.response.headers.get("retry-after", "")
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    date = email.utils.parsedate_tz(text)
    return max(0.0, email.utils.mktime_tz(date) - time.time()) if date else None


def wait_s(state: RetryCallState) -> float:
    """Full jitter under a doubling bound; at least what the service asked for, at most LONGEST_WAIT_S."""
    jitter = random.uniform(0.0, min(LONGEST_WAIT_S, 2.0 ** min(state.attempt_number, 10)))
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after_s if isinstance(error, PassingFailure) else None
    return min(LONGEST_WAIT_S, max(jitter, asked or 0.0))


def patience_of(seconds: float) -> Callable[[RetryCallState], bool]:
    """Stops when the next attempt would begin more than `seconds` after the first failure."""
    first_failure: list[float] = []

    def stop(state: RetryCallState) -> bool:
        now = state.outcome_timestamp or time.monotonic()
        first_failure[:] = first_failure or [now]
        return now + state.upcoming_sleep - first_failure[0] > seconds

    return stop
