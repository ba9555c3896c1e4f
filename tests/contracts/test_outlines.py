"""LabelMe and COCO: drawn, given back as they were, and as masks when changed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from src_core.errors import FormatError, PairingError
from src_core.io.formats import read, write
from src_core.store.create import create_from_folders
from src_core.store.export import export

SQUARE = [[2, 1], [6, 1], [6, 5], [2, 5]]
"""Columns 2 to 5, rows 1 to 4 of an image of 8 x 10 px."""


def drawn(value=1):
    pixels = np.zeros((8, 10), np.uint8)
    pixels[1:5, 2:6] = value
    return pixels


def labelme(path, *shapes):
    facts = {
        "version": "5.5",
        "flags": {},
        "imagePath": "a.png",
        "imageData": "AAAA",
        "imageHeight": 8,
        "imageWidth": 10,
    }
    shapes = [{"label": label, "points": points, "shape_type": kind, "flags": {}} for label, points, kind in shapes]
    path.write_text(json.dumps({**facts, "shapes": shapes}), encoding="utf-8")


def coco(path, segmentation):
    facts = {
        "images": [{"id": 7, "file_name": "x/a.png", "height": 8, "width": 10}],
        "categories": [{"id": 3, "name": "cell"}, {"id": 5, "name": "nerve"}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 5, "segmentation": segmentation}],
    }
    path.write_text(json.dumps(facts), encoding="utf-8")


@pytest.fixture
def images(tmp_path):
    (tmp_path / "images").mkdir()
    Image.fromarray(np.arange(80).reshape(8, 10).astype(np.uint8)).save(tmp_path / "images" / "a.png")
    return tmp_path / "images"


def test_shapes_are_drawn_in_their_order(tmp_path):
    labelme(
        tmp_path / "a.json",
        ("organ", SQUARE, "polygon"),
        ("lesion", [[4, 3], [6, 5]], "rectangle"),
    )
    labelme(tmp_path / "b.json", ("apex", [[5, 4], [5, 6]], "circle"))
    found = read(tmp_path / "a.json", mask=True)
    wanted = drawn(3)
    wanted[3:5, 4:6] = 2
    assert np.array_equal(found.pixels, wanted)
    assert [name for name, _ in found.labels.values()] == ["background", "apex", "lesion", "organ"]
    assert read(tmp_path / "b.json", mask=True).pixels.max() == 1
    with pytest.raises(FormatError, match="no image"):
        read(tmp_path / "a.json")


def test_labelme_files_beside_their_images(images, tmp_path):
    labelme(images / "a.json", ("organ", SQUARE, "polygon"))
    project, _ = create_from_folders(tmp_path / "p", images, images)
    with project:
        assert [info.name for info in project.classes] == ["background", "organ"]
        assert np.array_equal(project.read_label(project.cases[0]), drawn())
        (back,) = export(project, tmp_path / "out", ["cleaned"])
    before, after = (json.loads(path.read_text()) for path in (images / "a.json", back))
    assert after["shapes"] == before["shapes"]
    assert np.array_equal(read(back, mask=True).pixels, drawn())


def test_a_changed_labelme_mask_loses_nothing(tmp_path):
    labelme(tmp_path / "a.json", ("organ", SQUARE, "polygon"), ("lesion", [[0, 0], [1, 1]], "rectangle"))
    found = read(tmp_path / "a.json", mask=True)
    changed = np.random.default_rng(0).integers(0, 3, (8, 10)).astype(np.uint8)
    (tmp_path / "out").mkdir()
    write(tmp_path / "out" / "a.json", changed, extra=json.loads(json.dumps(found.extra)))
    assert np.array_equal(read(tmp_path / "out" / "a.json", mask=True).pixels, changed)


# down the columns: 2 columns of 8 and one more pixel outside, 4 inside, 4 outside, …
RUNS = [17, 4, 4, 4, 4, 4, 4, 4, 35]


def test_runs_and_their_letters_are_read_alike(tmp_path):
    coco(tmp_path / "c.json", [[2, 1, 6, 1, 6, 5, 2, 5]])
    path = tmp_path / "c.json" / "a.png"
    assert np.array_equal(read(path, mask=True).pixels, drawn(5))
    coco(tmp_path / "c.json", {"size": [8, 10], "counts": RUNS})
    assert np.array_equal(read(path, mask=True).pixels, drawn(5))
    letters = packed(RUNS)
    coco(tmp_path / "c.json", {"size": [8, 10], "counts": letters})
    assert np.array_equal(read(path, mask=True).pixels, drawn(5))
    coco(tmp_path / "c.json", {"size": [8, 10], "counts": [5, 10**9]})
    with pytest.raises(FormatError, match="broken"):
        read(path, mask=True)


def packed(runs):
    """COCO's letters, worked out the other way round."""
    text = ""
    for place, run in enumerate(runs):
        value = run - (runs[place - 2] if place > 2 else 0)
        more = True
        while more:
            bits = value & 31
            value >>= 5
            more = value != -1 if bits & 16 else value != 0
            text += chr((bits | 32 if more else bits) + 48)
    return text


def test_a_coco_file_is_the_masks_of_its_images(images, tmp_path):
    coco(tmp_path / "c.json", [[2, 1, 6, 1, 6, 5, 2, 5]])
    project, _ = create_from_folders(tmp_path / "p", images, tmp_path / "c.json")
    with project:
        assert [(info.name, info.value) for info in project.classes] == [("background", 0), ("cell", 3), ("nerve", 5)]
        (back,) = export(project, tmp_path / "out", ["cleaned"])
    assert back.name == "a.coco.json"
    written = json.loads(back.read_text())
    assert written["annotations"] == json.loads((tmp_path / "c.json").read_text())["annotations"]
    found = read(tmp_path / "c.json" / "a.png", mask=True)
    changed = np.random.default_rng(0).choice([0, 3, 5], (8, 10)).astype(np.uint8)
    write(tmp_path / "d.coco.json", changed, extra=found.extra)
    (tmp_path / "e.json").write_text((tmp_path / "d.coco.json").read_text())
    assert np.array_equal(read(tmp_path / "e.json" / "a.png", mask=True).pixels, changed)


def test_a_coco_file_of_other_images(images, tmp_path):
    coco(tmp_path / "c.json", [])
    (images / "a.png").rename(images / "b.png")
    with pytest.raises(PairingError, match=r"b\.png has no mask"):
        create_from_folders(tmp_path / "p", images, tmp_path / "c.json")
    (tmp_path / "c.json").write_text("{")
    with pytest.raises(FormatError, match="broken"):
        create_from_folders(tmp_path / "p", images, tmp_path / "c.json")


@pytest.mark.parametrize("kind", ["labelme", "coco", "coco runs"])
def test_damaged_files_are_read_or_refused(tmp_path, kind):
    """Bytes that are changed, and numbers that make no sense."""
    path = tmp_path / "c.json"
    if kind == "labelme":
        labelme(path, ("organ", SQUARE, "polygon"), ("lesion", [[4, 3], [6, 5]], "rectangle"), ("a", SQUARE, "circle"))
    else:
        coco(path, [[2, 1, 6, 1, 6, 5, 2, 5]] if kind == "coco" else {"size": [8, 10], "counts": packed(RUNS)})
    kept, rng, ends = path.read_bytes(), np.random.default_rng(0), set()
    digits = [place for place, letter in enumerate(kept) if chr(letter).isdigit()]
    for number in range(150):
        data = bytearray(kept[: rng.integers(len(kept))] if number % 7 == 0 else kept)
        if number % 2:
            place, huge = rng.choice(digits), [b"-1", b"99999999", b"1e309", b"NaN", b"null", b"[]"][rng.integers(6)]
            data[place : place + 1] = huge
        else:
            for k in rng.integers(0, max(len(data), 1), rng.integers(1, 4)) if data else ():
                data[k] = rng.integers(32, 127)
        path.write_bytes(bytes(data))
        try:
            read(path if kind == "labelme" else path / "a.png", mask=True)
            ends.add("read")
        except FormatError as error:
            ends.add("more than a sentence" if "\n" in str(error) else "refused")
    assert ends == {"read", "refused"}


def test_run_lengths_of_millions_of_bits_are_refused_at_once(tmp_path):
    coco(tmp_path / "c.json", {"size": [8, 10], "counts": "o" * 2_000_000})
    with pytest.raises(FormatError, match="broken"):
        read(tmp_path / "c.json" / "a.png", mask=True)
