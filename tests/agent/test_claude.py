"""Proves the Claude model against a real HTTP server that speaks the Messages API: replies, faults, patience."""

from __future__ import annotations

import logging
import re
import signal
import subprocess
import sys
import time
from email.utils import formatdate

import pytest

from agent.commands import make_model
from agent.config import load_config
from agent.errors import Interrupted, ModelRefused, ModelUnavailable
from agent.models.base import Message, ModelRequest, Place, Text, Thought, ToolCall, ToolSpec
from agent.models.claude import KEY_FILE, Claude, ClaudeSettings, key_present
from tests.fakes.messages_api import Answer, Drop, Fault, MessagesApi, messages_api, text, tool_use

KEY = "sk-ant-test-9f8e7d6c5b4a"


@pytest.fixture
def api(monkeypatch):
    for name in ("ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_CUSTOM_HEADERS", "ANTHROPIC_PROFILE", KEY_FILE):
        monkeypatch.delenv(name, raising=False)
    with messages_api() as served:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", served.url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
        yield served


def request(role="generator", **changes):
    place = Place(rollout=-1, stage="geometry", round=1, role=role, ordinal=0)
    said = (Message(role="user", content=(Text(text="Build it."),)),)
    tool = ToolSpec(name="run_code", description="Runs code.", schema_={"type": "object", "properties": {}})
    fields = {"place": place, "system": "You build.", "messages": said, "tools": (tool,), "seed": 0}
    return ModelRequest(**{**fields, **changes})


class Sleeps(list):
    """Stands in for `time.sleep`: notes the waits and takes none."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def claude(sleeps=None, **settings):
    return Claude(ClaudeSettings(**settings), sleep=Sleeps() if sleeps is None else sleeps)


# ── replies ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_reply_brings_its_text_its_calls_and_what_it_cost(api: MessagesApi):
    api.will(Answer([text("Look:"), tool_use("run_code", id="t1", purpose="a cup", code="x = 1\n")]))
    reply = claude(model="claude-opus-4-7").reply(request())
    assert reply.content == (
        Text(text="Look:"),
        ToolCall(id="t1", name="run_code", input={"purpose": "a cup", "code": "x = 1\n"}),
    )
    assert (reply.stop, reply.model, reply.retries) == ("tool_call", "claude-opus-4-7", 0)
    usage = api.usages[0]
    assert reply.usage.input_tokens == usage["input_tokens"]
    assert reply.usage.cache_write_tokens == usage["cache_creation_input_tokens"]
    assert reply.usage.output_tokens == 7
    dollars = (usage["input_tokens"] * 5 + usage["cache_creation_input_tokens"] * 6.25 + 7 * 25) / 1e6
    assert reply.usage.usd == pytest.approx(dollars)


def test_a_model_without_a_known_price_has_no_dollars(api: MessagesApi):
    api.will(Answer(model="house-model-3"))
    assert claude(model="house-model-3").reply(request()).usage.usd is None


def test_a_thought_goes_back_as_it_came(api: MessagesApi):
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
    api.will(Answer([thought, tool_use("run_code", code="")], model="claude-opus-5-5-20260922"))
    model = claude(model="claude-opus-5-5")
    reply = model.reply(request())
    assert reply.content[0] == Thought(model="claude-opus-5-5", block=thought)
    model.reply(request(messages=(*request().messages, Message(role="assistant", content=reply.content))))
    assert api.bodies[1]["messages"][1]["content"][0] == thought


def test_settings_reach_the_service_and_may_differ_by_role(api: MessagesApi):
    model = claude(model="m", model_by_role={"verifier": "v"}, effort="high", effort_by_role={"verifier": "low"})
    model.reply(request("generator"))
    model.reply(request("verifier"))
    assert [body["model"] for body in api.bodies] == ["m", "v"]
    assert [body["output_config"] for body in api.bodies] == [{"effort": "high"}, {"effort": "low"}]
    assert api.bodies[0]["thinking"] == {"type": "adaptive", "display": "summarized"}
    assert api.bodies[0]["max_tokens"] == 64_000
    assert api.bodies[0]["stream"] is True


def test_a_runs_settings_name_a_model_for_each_role_and_each_costs_its_own_price(api: MessagesApi):
    settings = {"claude_model": "claude-opus-4-7", "claude_models": {"verifier": "claude-haiku-4-5"}}
    model = make_model(load_config({"model": "claude", **settings, "claude_efforts": {"generator": "max"}}))
    generator, verifier = model.reply(request("generator")), model.reply(request("verifier"))
    assert [body["model"] for body in api.bodies] == ["claude-opus-4-7", "claude-haiku-4-5"]
    assert api.bodies[0]["output_config"] == {"effort": "max"}
    assert generator.usage.usd == pytest.approx(5 * verifier.usage.usd)  # as their prices are
    assert model.worst_case(request("generator")).usd == pytest.approx(
        5 * model.worst_case(request("verifier")).usd, 0.01
    )


def test_what_is_not_set_is_not_sent(api: MessagesApi):
    claude(effort=None, thinking="service").reply(request())
    assert not {"output_config", "thinking", "tool_choice", "temperature"} & api.bodies[0].keys()


@pytest.mark.parametrize(("model", "knows"), [
    ("claude-opus-5-5", True), ("claude-opus-4-7", True), ("claude-opus-4-6", True), ("claude-sonnet-4-6", True),
    ("house-model", True), ("claude-haiku-4-5", False), ("claude-opus-4-5-20251101", False), ("claude-opus-4-1", False),
    ("claude-sonnet-4-20250514", False), ("claude-3-7-sonnet-20250219", False),
])  # fmt: skip
def test_older_models_are_not_asked_for_what_they_do_not_know(api: MessagesApi, model, knows):
    claude(model=model).reply(request())
    assert ({"output_config", "thinking"} <= api.bodies[0].keys()) is knows


@pytest.mark.parametrize(("reason", "stop"), [
    ("end_turn", "end"), ("max_tokens", "length"), ("model_context_window_exceeded", "length"),
    ("stop_sequence", "end"), ("pause_turn", "end"),
])  # fmt: skip
def test_every_reason_to_stop_has_a_meaning(api: MessagesApi, reason, stop):
    api.will(Answer(stop_reason=reason))
    assert claude().reply(request()).stop == stop


def test_a_call_cut_off_at_the_length_limit_is_never_made(api: MessagesApi):
    whole, half = tool_use("look", id="a"), tool_use("run_code", id="b", code="import bpy\nfor x in")
    api.will(Answer([whole, half], stop_reason="max_tokens"))
    reply = claude().reply(request())
    assert reply.stop == "length"
    assert [block.id for block in reply.content if isinstance(block, ToolCall)] == ["a"]


def test_a_refusal_calls_nothing(api: MessagesApi):
    api.will(Answer([text("I"), tool_use("run_code", code="")], stop_reason="refusal"))
    reply = claude().reply(request())
    assert (reply.stop, reply.content) == ("refusal", ())


def test_an_empty_reply_is_a_reply(api: MessagesApi):
    api.will(Answer([]))
    assert claude().reply(request()).content == ()


# ── faults that pass ──────────────────────────────────────────────────────────────────────────────────────────────────
PASSING = [
    Fault(429, "rate_limit_error"), Fault(529, "overloaded_error"), Fault(500), Fault(503), Fault(504, "timeout_error"),
    Fault(502, None), Fault(408, "timeout_error"), Drop(), Answer(cut_after=0), Answer(cut_after=3),
    Answer(garbled=True), Answer(stream_error="overloaded_error"), Answer(stream_error="api_error"),
]  # fmt: skip


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: re.sub(r"\W+", "-", repr(fault))[:60])
def test_a_passing_fault_costs_a_wait_and_is_counted(api: MessagesApi, fault, caplog):
    sleeps = Sleeps()
    api.will(fault, fault, Answer([text("At last.")]))
    reply = claude(sleeps).reply(request())
    assert reply.content == (Text(text="At last."),)
    assert (reply.retries, len(sleeps), len(api.bodies)) == (2, 2, 3)
    in_stream = 200 if isinstance(fault, Answer) and fault.stream_error else 0
    assert reply.http == (getattr(fault, "status", in_stream),) * 2
    assert api.bodies[0] == api.bodies[2]
    assert "asking again" in caplog.text


@pytest.mark.parametrize(("header", "least", "most"), [
    ("7", 7, 60), ("3600", 60, 60), ("soon", 0, 2), ("-5", 0, 2), ("in 20 s", 17, 20),
])  # fmt: skip
def test_retry_after_is_heeded_within_a_minute(api: MessagesApi, header, least, most):
    sleeps = Sleeps()
    header = header.replace("in 20 s", formatdate(time.time() + 20, usegmt=True))
    api.will(Fault(429, "rate_limit_error", headers={"retry-after": header}))
    claude(sleeps).reply(request())
    assert least <= sleeps[0] <= most


def test_waits_grow_with_full_jitter_to_a_minute(api: MessagesApi):
    sleeps = Sleeps()
    api.will(*[Fault(529, "overloaded_error")] * 12)
    claude(sleeps, patience_s=1e6).reply(request())
    assert all(0 <= wait <= min(60, 2**number) for number, wait in enumerate(sleeps, 1))
    assert len(set(sleeps)) == 12


def test_patience_ends_with_a_resumable_error(api: MessagesApi):
    api.always = Fault(529, "overloaded_error", "Overloaded")
    started = time.monotonic()
    with pytest.raises(ModelUnavailable, match=r"Overloaded \(HTTP 529\).*Resume") as caught:
        Claude(ClaudeSettings(patience_s=0.5)).reply(request())
    assert caught.value.exit_code == 75
    assert time.monotonic() - started < 5


def test_a_service_that_is_not_there_is_unavailable(api: MessagesApi, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    with pytest.raises(ModelUnavailable, match="no connection"):
        claude(patience_s=0.1).reply(request())


def test_a_silent_service_is_given_up(api: MessagesApi):
    api.will(Answer(delay_s=30), Answer([text("Here.")]))
    reply = claude(silence_s=0.3).reply(request())
    assert (reply.content, reply.retries) == ((Text(text="Here."),), 1)


def test_keep_alive_signs_alone_hold_no_call_open(api: MessagesApi):
    api.will(Answer(pings_s=30), Answer([text("Here.")]))
    started = time.monotonic()
    assert claude(call_s=0.5).reply(request()).retries == 1
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("answer", [Answer(delay_s=30), Answer(pings_s=30)], ids=["before the reply", "in the reply"])
def test_a_signal_stops_a_call_at_once(api: MessagesApi, answer):
    def stop(*_: object) -> None:
        raise Interrupted("stopped by a signal.")

    api.always = answer
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.4)
    started = time.monotonic()
    try:
        with pytest.raises(Interrupted, match="stopped by a signal"):
            claude().reply(request())
    finally:
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - started < 3
    assert len(api.bodies) == 1


def test_a_slow_reply_is_waited_for(api: MessagesApi):
    api.will(Answer([text("Slow.")], delay_s=0.5, pings_s=0.3))
    assert claude().reply(request()).retries == 0


# ── faults that stay ──────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(("fault", "said"), [
    (Fault(401, "authentication_error", "invalid x-api-key"), "refuses the key.*ANTHROPIC_API_KEY"),
    (Fault(402, "billing_error", "credit is used up"), "wants no more spent.*credit is used up.*resume"),
    (Fault(429, "rate_limit_error", "monthly", error_code="enforced_spend_limit_reached"), "wants no more spent"),
    (Fault(403, "permission_error"), "does not permit this"),
    (Fault(404, "not_found_error", "model: nonesuch"), "does not know the model 'nonesuch'.*Name another"),
    (Fault(413, "request_too_large"), "too large"),
    (Fault(400, "invalid_request_error", "effort: unknown"), "refuses the request: effort: unknown.*change that"),
    (Fault(422, None), "refuses the request: no reason given"),
    (Fault(401, None), "refuses the key"),
])  # fmt: skip
def test_a_lasting_fault_ends_the_run_at_once_with_the_way_out(api: MessagesApi, fault, said):
    api.will(fault)
    with pytest.raises(ModelRefused, match=said) as caught:
        claude(model="nonesuch").reply(request())
    assert caught.value.exit_code == 78
    assert len(api.bodies) == 1


# ── the key ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_the_key_is_shown_nowhere(api: MessagesApi, caplog):
    caplog.set_level(logging.DEBUG)
    model = claude()
    shown = [repr(model), str(model.__dict__)]
    for fault, error in ((Fault(401, "authentication_error"), ModelRefused), (Drop(), None)):
        api.will(fault)
        if error is None:
            model.reply(request())
            continue
        with pytest.raises(error) as caught:
            model.reply(request())
        shown += [repr(caught.value), str(caught.value), repr(caught.getrepr(showlocals=False))]
    assert KEY in str(api.headers[0])
    assert KEY not in "".join([*shown, caplog.text])


def test_without_a_key_it_says_how_to_go_on(api: MessagesApi, monkeypatch, tmp_path):
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    monkeypatch.setenv("ANTHROPIC_CONFIG_DIR", str(tmp_path))
    assert not key_present()
    with pytest.raises(ModelRefused, match="ANTHROPIC_API_KEY, or run with --model offline"):
        claude()


def test_a_key_file_serves_when_only_its_owner_may_read_it(api: MessagesApi, monkeypatch, tmp_path):
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    monkeypatch.setenv(KEY_FILE, str(file))
    file.chmod(0o644)
    with pytest.raises(ModelRefused, match="chmod 600"):
        claude()
    file.chmod(0o600)
    assert key_present()
    claude().reply(request())
    assert KEY in str(api.headers[0])
    monkeypatch.setenv(KEY_FILE, str(tmp_path / "none"))
    with pytest.raises(ModelRefused, match="No such file"):
        claude()


def test_the_module_is_quick_to_import():
    code = "import agent.models.claude, sys; print([m for m in ('anthropic', 'tenacity', 'PIL') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30).stdout == "[]\n"
