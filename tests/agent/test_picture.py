"""Any picture a user may give is read rightly, or refused with one clear message."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from agent.errors import InputUnreadable
from agent.picture import read_reference
from agent.picture_file import MAX_PIXELS

RED, GREEN, WHITE = (200, 30, 20), (30, 160, 60), (255, 255, 255)


def two_halves(size: tuple[int, int] = (60, 40)) -> Image.Image:
    """Red on the left, green on the right."""
    image = Image.new("RGB", size, RED)
    image.paste(GREEN, (size[0] // 2, 0, size[0], size[1]))
    return image


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)  # type: ignore[arg-type]
    return path


def assert_two_halves(rgb: np.ndarray, within: int = 3) -> None:
    height, width = rgb.shape[:2]
    assert np.abs(rgb[height // 2, width // 4].astype(int) - RED).max() <= within
    assert np.abs(rgb[height // 2, 3 * width // 4].astype(int) - GREEN).max() <= within


def refusal(path: Path) -> InputUnreadable:
    with pytest.raises(InputUnreadable) as caught:
        read_reference(path)
    assert caught.value.exit_code == 65
    assert str(path) in str(caught.value) and "\n" not in str(caught.value) and caught.value.remedy
    return caught.value


# ── what works ────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("name", "options"),
    [("p.png", {}), ("p.jpg", {"quality": 98}), ("p.webp", {"lossless": True}), ("p.bmp", {}), ("p.tif", {}),
     ("p.ppm", {}), ("p.gif", {}), ("p.jp2", {})],
)  # fmt: skip
def test_common_formats_are_read(tmp_path: Path, name: str, options: dict[str, object]) -> None:
    reference = read_reference(saved(two_halves(), tmp_path / name, **options))
    assert (reference.width_px, reference.height_px, reference.kind) == (60, 40, "full")
    assert_two_halves(reference.rgb)


def test_the_digest_is_that_of_the_files_bytes_and_the_pixels_cannot_be_written(tmp_path: Path) -> None:
    path = saved(two_halves(), tmp_path / "p.png")
    reference = read_reference(path)
    assert reference.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(ValueError, match="read-only"):
        reference.rgb[0, 0] = 0


def test_reading_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    path = saved(two_halves((900, 700)), tmp_path / "p.jpg")
    assert read_reference(path).png == read_reference(path).png


def test_the_png_holds_the_pixels(tmp_path: Path) -> None:
    reference = read_reference(saved(two_halves(), tmp_path / "p.bmp"))
    with Image.open(io.BytesIO(reference.png)) as image:
        assert image.mode == "RGB"
        assert np.array_equal(np.asarray(image), reference.rgb)


@pytest.mark.parametrize("kind", ["soft alpha", "white", "full"])
def test_a_references_own_png_reads_as_the_same_reference(tmp_path: Path, kind: str) -> None:
    image = Image.new("RGB", (700, 600), WHITE if kind == "white" else GREEN)
    image.paste(RED, (100, 100, 400, 400))
    if kind == "soft alpha":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    first = read_reference(saved(image, tmp_path / "p.png"), target_px=256)
    (tmp_path / "again.png").write_bytes(first.png)
    again = read_reference(tmp_path / "again.png", target_px=256)
    assert np.array_equal(again.rgb, first.rgb)
    assert (again.png, again.kind, again.digest, again.notes) == (first.png, first.kind, first.digest, first.notes)
    assert first.notes and first.kind == ("full" if kind == "full" else "cutout")


def test_a_references_png_that_was_edited_is_a_picture_like_any_other(tmp_path: Path) -> None:
    first = read_reference(saved(two_halves(), tmp_path / "p.png"))
    with Image.open(io.BytesIO(first.png)) as image:
        texts = PngInfo()
        texts.add_itxt("seig-reference", image.info["seig-reference"])
        image.putpixel((0, 0), WHITE)
        again = read_reference(saved(image, tmp_path / "edited.png", pnginfo=texts))
    assert again.digest == hashlib.sha256((tmp_path / "edited.png").read_bytes()).hexdigest() != first.digest


def test_a_wrong_suffix_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    two_halves().save(path, "JPEG", quality=98)
    assert_two_halves(read_reference(path).rgb)


def test_a_big_picture_is_scaled_down_and_says_so(tmp_path: Path) -> None:
    reference = read_reference(saved(two_halves((3000, 1500)), tmp_path / "p.png"), target_px=512)
    assert (reference.width_px, reference.height_px) == (512, 256)
    assert_two_halves(reference.rgb)
    assert any("3000 × 1500" in note for note in reference.notes)


def test_a_small_picture_keeps_its_size_and_frames_bigger_renders(tmp_path: Path) -> None:
    reference = read_reference(saved(two_halves((30, 20)), tmp_path / "p.png"))
    assert (reference.width_px, reference.height_px) == (30, 20)
    assert reference.frame(512) == (512, 341)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "1"])
def test_one_pixel_is_a_picture(tmp_path: Path, mode: str) -> None:
    reference = read_reference(saved(Image.new(mode, (1, 1)), tmp_path / "p.png"))
    assert (reference.width_px, reference.height_px) == (1, 1)
    assert reference.frame(512) == (512, 512)


@pytest.mark.parametrize("name", ["p.png", "p.jpg"])
def test_a_very_wide_picture_keeps_at_least_one_pixel_of_height(tmp_path: Path, name: str) -> None:
    reference = read_reference(saved(two_halves((20_000, 3)), tmp_path / name))
    assert (reference.width_px, reference.height_px) == (512, 1)
    assert_two_halves(reference.rgb, within=6)
    assert reference.frame(512) == (512, 4)


def test_a_20000_px_wide_photograph_is_read_in_small_memory(tmp_path: Path) -> None:
    path = saved(two_halves((20_000, 6_000)), tmp_path / "p.jpg", quality=60)
    assert_two_halves(read_reference(path).rgb, within=6)


def test_bands_of_a_tall_picture_are_put_together_without_seams(tmp_path: Path) -> None:
    rows = np.linspace(0, 255, 9_973).astype(np.uint8)
    image = Image.fromarray(np.repeat(rows[:, None], 1_201, axis=1))
    levels = read_reference(saved(image, tmp_path / "p.png", compress_level=1)).rgb[:, 30, 0].astype(int)
    assert levels.shape == (512,)
    assert np.abs(levels - np.linspace(0, 255, 512)).max() <= 2


def test_grey_and_one_bit_pictures_are_read(tmp_path: Path) -> None:
    grey = read_reference(saved(two_halves().convert("L"), tmp_path / "grey.png"))
    assert grey.rgb.shape == (40, 60, 3) and (grey.rgb[..., 0] == grey.rgb[..., 2]).all()
    one_bit = read_reference(saved(two_halves().convert("1"), tmp_path / "one.png"))
    assert set(np.unique(one_bit.rgb)) <= {0, 255}


def test_sixteen_bit_grey_keeps_its_brightness(tmp_path: Path) -> None:
    image = Image.fromarray(np.full((20, 20), 128 * 257, dtype=np.uint16))
    reference = read_reference(saved(image, tmp_path / "p.png"))
    assert (reference.rgb == 128).all()
    assert any("16 bit" in note for note in reference.notes)


def test_sixteen_bit_color_keeps_its_colors(tmp_path: Path) -> None:
    pixel = b"".join(struct.pack(">H", level * 257) for level in RED)
    path = tmp_path / "p.png"
    path.write_bytes(raw_png(8, 8, bit_depth=16, color_type=2, rows=(b"\0" + pixel * 8) * 8))
    reference = read_reference(path)
    assert (reference.rgb == RED).all()
    assert "converted from 16 bit RGB" in reference.notes


@pytest.mark.parametrize(
    ("color_type", "channels", "said"),
    [(0, 1, "16 bit grey"), (4, 2, "16 bit grey with alpha"), (6, 4, "16 bit RGB with alpha")],
)
def test_sixteen_bits_are_noted_for_every_kind_of_color(
    tmp_path: Path, color_type: int, channels: int, said: str
) -> None:
    path = tmp_path / "p.png"
    path.write_bytes(raw_png(8, 8, bit_depth=16, color_type=color_type, rows=(b"\0" + b"\x80\0" * channels * 8) * 8))
    assert f"converted from {said}" in read_reference(path).notes


def test_thirty_two_bit_integers_are_not_called_sixteen(tmp_path: Path) -> None:
    image = Image.fromarray(np.full((20, 20), 128 * 257, dtype=np.int32))
    reference = read_reference(saved(image, tmp_path / "p.tif"))
    assert (reference.rgb == 128).all()
    assert [note for note in reference.notes if "32 bit" in note] and "16" not in " ".join(reference.notes)


def test_sixteen_bit_grey_is_called_so_in_other_formats_too(tmp_path: Path) -> None:
    image = Image.fromarray(np.full((20, 20), 128 * 257, dtype=np.uint16))
    for name in ("p.tif", "p.pgm"):
        assert "converted from 16 bit grey" in read_reference(saved(image, tmp_path / name)).notes


def test_an_eight_bit_picture_is_noted_as_nothing_special(tmp_path: Path) -> None:
    for name in ("p.png", "p.tif"):
        assert not [note for note in read_reference(saved(two_halves(), tmp_path / name)).notes if "bit" in note]


def test_floating_point_is_read_as_zero_to_one(tmp_path: Path) -> None:
    values = np.full((8, 8), 0.5, dtype=np.float32)
    values[0, 0] = np.nan
    reference = read_reference(saved(Image.fromarray(values), tmp_path / "p.tif"))
    assert reference.rgb[4, 4].tolist() == [128, 128, 128] and reference.rgb[0, 0].tolist() == [0, 0, 0]


def test_cmyk_is_converted(tmp_path: Path) -> None:
    reference = read_reference(saved(two_halves().convert("CMYK"), tmp_path / "p.jpg", quality=98))
    assert_two_halves(reference.rgb, within=6)
    assert any("CMYK" in note for note in reference.notes)


def test_a_palette_with_transparency_is_a_cutout(tmp_path: Path) -> None:
    image = Image.new("P", (40, 40), 0)
    image.putpalette([0, 0, 0, *RED])
    image.paste(1, (10, 10, 30, 30))
    reference = read_reference(saved(image, tmp_path / "p.png", transparency=0))
    assert reference.kind == "cutout" and reference.mask is not None
    assert reference.mask.sum() == 400
    assert tuple(reference.rgb[0, 0]) == WHITE and tuple(reference.rgb[20, 20]) == RED


def test_an_animation_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [two_halves(), Image.new("RGB", (60, 40), "blue"), Image.new("RGB", (60, 40), "black")]
    for name in ("p.gif", "p.png", "p.webp"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], lossless=True)
        reference = read_reference(tmp_path / name)
        assert_two_halves(reference.rgb)
        assert "first of 3 frames" in reference.notes


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_obeyed(tmp_path: Path, orientation: int) -> None:
    upright = two_halves((64, 32))
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    reference = read_reference(saved(stored, tmp_path / "p.jpg", exif=exif, quality=98))
    assert (reference.width_px, reference.height_px) == (64, 32)
    assert_two_halves(reference.rgb, within=6)


def test_broken_exif_data_is_ignored(tmp_path: Path) -> None:
    path = saved(two_halves(), tmp_path / "p.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff", quality=98)
    assert_two_halves(read_reference(path).rgb, within=6)


def test_an_embedded_profile_is_converted_to_srgb(tmp_path: Path) -> None:
    path = saved(two_halves(), tmp_path / "p.png", icc_profile=swapped_red_and_green())
    reference = read_reference(path)
    assert any("colour profile" in note for note in reference.notes)
    left = reference.rgb[20, 15].astype(int)
    assert left[1] > left[0] + 50


def test_a_broken_profile_is_ignored(tmp_path: Path) -> None:
    reference = read_reference(saved(two_halves(), tmp_path / "p.png", icc_profile=b"nonsense"))
    assert_two_halves(reference.rgb)
    assert any("profile" in note for note in reference.notes)


# ── cut-outs ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_alpha_is_laid_on_white_and_gives_the_mask(tmp_path: Path) -> None:
    pixels = np.zeros((40, 40, 4), dtype=np.uint8)
    pixels[..., :3], pixels[10:30, 10:30, 3], pixels[10, 10, 3] = RED, 255, 100
    reference = read_reference(saved(Image.fromarray(pixels), tmp_path / "p.png"))
    assert reference.kind == "cutout" and reference.mask is not None
    assert tuple(reference.rgb[0, 0]) == WHITE and tuple(reference.rgb[20, 20]) == RED
    assert reference.mask.sum() == 399
    with Image.open(io.BytesIO(reference.png)) as image:
        assert image.mode == "RGBA"
        assert np.array_equal(np.asarray(image)[..., 3] > 0, reference.mask)
        assert np.array_equal(np.asarray(image)[..., :3], reference.rgb)


def test_hidden_colors_under_full_transparency_do_not_bleed_when_scaled(tmp_path: Path) -> None:
    pixels = np.zeros((1600, 1600, 4), dtype=np.uint8)
    pixels[..., 1] = 255
    pixels[401:1199, 401:1199] = (*RED, 255)
    reference = read_reference(saved(Image.fromarray(pixels), tmp_path / "p.png"), target_px=100)
    assert (reference.rgb[..., 0] >= reference.rgb[..., 1]).all()


def test_plain_white_gives_a_mask_by_flooding_from_the_border(tmp_path: Path) -> None:
    image = Image.new("RGB", (80, 80), WHITE)
    image.paste(RED, (20, 20, 60, 60))
    image.paste(WHITE, (35, 35, 45, 45))
    reference = read_reference(saved(image, tmp_path / "p.jpg", quality=90))
    assert reference.kind == "cutout" and reference.mask is not None
    assert not reference.mask[5, 5] and reference.mask[25, 25]
    assert reference.mask[40, 40], "white that is enclosed by an object belongs to it"


def test_white_with_an_object_that_leaves_the_frame_is_a_cutout(tmp_path: Path) -> None:
    image = Image.new("RGB", (80, 80), (250, 250, 250))
    image.paste(RED, (30, 50, 60, 80))
    assert read_reference(saved(image, tmp_path / "p.png")).kind == "cutout"


@pytest.mark.parametrize("color", [(127, 127, 127), (230, 230, 230), (255, 255, 200)])
def test_another_plain_background_is_no_cutout(tmp_path: Path, color: tuple[int, int, int]) -> None:
    image = Image.new("RGB", (80, 80), color)
    image.paste(RED, (20, 20, 60, 60))
    assert read_reference(saved(image, tmp_path / "p.png")).kind == "full"


@pytest.mark.parametrize("fill", [(255, 255, 255, 255), (0, 0, 0, 0), (10, 20, 30, 60), (255, 255, 255, 0)])
def test_all_white_and_all_transparent_pictures_are_full(tmp_path: Path, fill: tuple[int, int, int, int]) -> None:
    reference = read_reference(saved(Image.new("RGBA", (50, 50), fill), tmp_path / "p.png"))
    assert reference.kind == "full" and reference.mask is None
    assert reference.rgb.min() >= 190


def test_an_opaque_alpha_channel_is_no_cutout(tmp_path: Path) -> None:
    image = two_halves().convert("RGBA")
    assert read_reference(saved(image, tmp_path / "p.png")).kind == "full"


# ── what is refused ───────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "no such file" in str(refusal(tmp_path / "none.png"))


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "folder" in str(refusal(tmp_path))


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in str(refusal(tmp_path / "pipe"))


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.png").touch()
    assert "empty" in str(refusal(tmp_path / "p.png"))


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"Once upon a time.\n", "text"), (b"%PDF-1.7\n", "PDF"), (b"<?xml version='1.0'?><svg/>", "SVG"),
     (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"), (b"\0\1\2\3" * 50, "no picture"), (b"%!PS-Adobe-3.0 EPSF", "PostScript")],
)  # fmt: skip
def test_what_is_no_picture_is_refused_by_what_it_is(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "p.png").write_bytes(content)
    assert said in str(refusal(tmp_path / "p.png"))


@pytest.mark.parametrize("name", ["p.jpg", "p.png", "p.webp", "p.gif", "p.tif", "p.bmp"])
def test_a_truncated_picture_is_refused(tmp_path: Path, name: str) -> None:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 255, (200, 200, 3), dtype=np.uint8))
    whole = saved(noise, tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    assert "broken or cut off" in str(refusal(tmp_path / name))


def test_flipped_bytes_never_end_in_anything_but_a_picture_or_a_refusal(tmp_path: Path) -> None:
    random = np.random.default_rng(7)
    for name in ("p.png", "p.jpg", "p.gif", "p.tif", "p.webp"):
        whole = bytearray(saved(two_halves(), tmp_path / name).read_bytes())
        for _ in range(60):
            broken = bytearray(whole)
            for place in random.integers(0, len(whole), 4):
                broken[place] = int(random.integers(0, 256))
            (tmp_path / name).write_bytes(broken)
            try:
                read_reference(tmp_path / name)
            except InputUnreadable:
                pass


@pytest.mark.parametrize(("width", "height"), [(50_000, 50_000), (2**31 - 1, 2**31 - 1), (20_000, 15_000)])
def test_a_decompression_bomb_is_refused_by_its_header(tmp_path: Path, width: int, height: int) -> None:
    path = tmp_path / "p.png"
    path.write_bytes(raw_png(width, height, bit_depth=8, color_type=2, rows=b""))
    said = str(refusal(path))
    assert f"{width:,} × {height:,}" in said and f"{MAX_PIXELS:,}" in said


def test_a_picture_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    path = saved(two_halves(), tmp_path / "p.png")
    path.chmod(0)
    if os.geteuid() == 0:
        os.seteuid(65534)
    try:
        said = str(refusal(path))
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
    assert "permission denied" in said


def raw_png(width: int, height: int, bit_depth: int, color_type: int, rows: bytes) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, bit_depth, color_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def swapped_red_and_green() -> bytes:
    """sRGB with the primaries of red and green exchanged."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = profile.replace(b"rXYZ", b"tmpX").replace(b"gXYZ", b"rXYZ").replace(b"tmpX", b"gXYZ")
    return profile.replace(b"s\0R\0G\0B", b"x\0R\0G\0B")
