"""Drives the offline model without a Blender: requests as the pipeline makes them, answers as its tools give them."""

import io
import json

import numpy as np
from PIL import Image

from agent.models.base import Message, ModelRequest, Picture, Place, Text, ToolResult, ToolSpec

GENERATOR = ("run_code", "look", "inspect", "compare", "measure", "revert", "fit", "reference", "finish")
TOOLS = {
    "decomposer": ("reference", "submit_scene_graph"),
    "generator": ("submit_plan", *GENERATOR),
    "verifier": ("look", "inspect", "compare", "measure", "reference", "verdict"),
    "selector": ("choose",),
}
ENDINGS = {"submit_scene_graph", "finish", "verdict", "choose"}
# fmt: off
MEASURES = {"psnr_db": 20.0, "ssim": 0.8, "iou": 0.9, "edge_px": 2.0, "luminance_ratio": 1.0, "black_fraction": 0.0,
            "mean_color_reference": [0.5, 0.5, 0.5], "mean_color_render": [0.5, 0.5, 0.5], "clipped_fraction": 0.0}
# fmt: on


def png_of(pixels):
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def begin(stage, role, png, kind="cutout", graph=None, preset="default", rollout=0, number=1, **facts):
    """The request that opens a conversation."""
    told = {"stage": stage, "round": number, "role": role, "picture": {"kind": kind}, "seed": 0, "rollout": rollout,
            "scene_graph": graph, "preset": preset, "previous_checklist": [], "critique": None, **facts}  # fmt: skip
    task = Text(text=f"Do it.\n\n```json\n{json.dumps(told)}\n```")
    first = Message(role="user", content=(Picture(png=png, caption="reference"), task))
    tools = tuple(ToolSpec(name=name, description="", schema_={}) for name in TOOLS[role])
    place = Place(rollout=rollout, stage=stage, round=number, role=role, ordinal=0)
    return ModelRequest(place=place, system="", messages=(first,), tools=tools, seed=0)


def after(request, reply, result):
    """The request that follows when the one tool called in `reply` answered `result`."""
    call = reply.content[0]
    facts, *pictures = result
    content = (Text(text=json.dumps(facts)), *(Picture(png=png, caption="") for png in pictures))
    answer = Message(role="user", content=(ToolResult(call_id=call.id, content=content),))
    said = Message(role="assistant", content=tuple(reply.content))
    place = request.place.model_copy(update={"ordinal": request.place.ordinal + 1})
    return request.model_copy(update={"messages": (*request.messages, said, answer), "place": place})


class Tools:
    """Answers calls as if every edit were committed and each were a little better than the one before."""

    def __init__(self, view):
        self._view, self._psnr = view, 20.0

    def __call__(self, call):
        self._psnr += 0.5 if call.name in ("run_code", "fit") else 0.0
        measures = {**MEASURES, "psnr_db": self._psnr}
        if call.name == "run_code":
            compile(call.input["code"], "edit", "exec")
            return {"result": "committed", "snapshot": "s1", "measures": measures}, self._view
        if call.name == "fit":
            return {"result": "committed", "gain": 0.1, "measures": measures}, self._view
        if call.name == "look":
            return {"view": call.input.get("view", {})}, self._view
        if call.name == "inspect":
            sun = {"name": "Sun", "type": "SUN", "energy": 2.0, "rotation_deg": [40, 0, 30]}
            world = {"name": "World", "strength": 0.5}
            return ({"what": {"lights": [sun], "world": world, "camera": {"name": "Camera", "lens_mm": 50.0}}},)
        return {"measures": measures, "objects": {}, "accepted": True, "ok": True}, self._view


def play(model, request, tools, most=40):
    """All calls of a conversation until one ends it, and the requests that led to them."""
    calls, requests = [], []
    for _ in range(most):
        reply = model.reply(request)
        call = reply.content[0]
        calls.append(call)
        requests.append(request)
        if call.name in ENDINGS:
            return calls, requests
        request = after(request, reply, tools(call))
    raise AssertionError(f"no end after {most} calls: {[call.name for call in calls]}")


def graph_of(model, png, kind="cutout", **facts):
    calls, _ = play(model, begin("decomposition", "decomposer", png, kind, **facts), Tools(png))
    return calls[-1].input
