"""Run folders as an evaluation looks at them: pictures, first journal line, result, ledger."""

import hashlib
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw


def draw_picture(path, seed=0, size=(96, 64), cutout=True, mode="RGBA"):
    """Some discs; of a cut-out on nothing."""
    random = np.random.default_rng(seed)
    picture = Image.new("RGBA", size, (0, 0, 0, 0) if cutout else (90, 110, 130, 255))
    draw = ImageDraw.Draw(picture)
    for _ in range(6):
        x, y = random.integers(10, size[0] - 40), random.integers(8, size[1] - 32)
        draw.ellipse((x, y, x + 24, y + 20), fill=(*(int(level) for level in random.integers(0, 200, 3)), 255))
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.convert(mode).save(path)
    return path


def noisy(source, path, sigma=20.0, seed=0, shift_px=0):
    """The picture with noise on its colours, moved to the right."""
    pixels = np.array(Image.open(source).convert("RGBA")).astype(np.float64)
    pixels[..., :3] += np.random.default_rng(seed).normal(0.0, sigma, pixels[..., :3].shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.roll(pixels.clip(0, 255).astype(np.uint8), shift_px, axis=1)).save(path)
    return path


def finished(folder, picture, sigma=20.0, seed=0, shift_px=0, stages=(), status="accepted"):
    """The folder of a run of a picture; `stages`: (name, noise after it, calls, dollars of each)."""
    begun(folder, picture)
    noisy(picture, folder / "render.png", sigma, seed, shift_px)
    spent = {"calls": 3, "tokens": 30, "usd": 0.5, "minutes": 2.0}
    write(folder / "result.json", {"status": status, "measures": {}, "spent": spent})
    lines, at = [], 1000.0
    for number, (name, noise, calls, usd) in enumerate(stages, 1):
        noisy(picture, folder / "stages" / f"{number}_{name}" / "render.png", noise, seed)
        for ordinal in range(calls):
            at += 30.0
            place = {"rollout": 0, "stage": name, "round": 1, "role": "generator", "ordinal": ordinal}
            tokens = {"input_tokens": 10}
            lines.append({"at": at, "place": place, "model": "m", "tokens": tokens, "usd": usd, "seconds": 30.0})
    (folder / "ledger.jsonl").write_text("".join(json.dumps({**line, "minutes": 1.0}) + "\n" for line in lines))
    return folder


def begun(folder, picture):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "reference.png").write_bytes(Path(picture).read_bytes())
    digest = hashlib.sha256(Path(picture).read_bytes()).hexdigest()
    entry = {"event": "run", "version": 1, "image": digest, "source": Path(picture).name}
    (folder / "journal.jsonl").write_text(json.dumps(entry) + "\n")
    return folder


def failed(folder, picture=None, message="there is no such thing."):
    folder.mkdir(parents=True, exist_ok=True)
    if picture is not None:
        begun(folder, picture)
    said = {"status": "failed", "exit_code": 70, "failure_class": "bug", "message": message, "attempts": 1}
    write(folder / "result.json", {**said, "spent": {"calls": 1, "tokens": 5, "usd": 0.1, "minutes": 1.0}})
    return folder


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
