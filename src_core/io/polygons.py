"""Masks that are drawn as outlines: LabelMe (a JSON file an image), COCO (one JSON file for many images).

Names become class values: of COCO its category ids, of LabelMe 1, 2, … in the order of the names in the folder. A
pixel belongs to an outline that its centre lies in; where outlines overlap, the later one is on top. A mask nobody has
changed is given back with its outlines as they were; a changed one as masks of its classes, which lose nothing: LabelMe
shapes of type ``mask``, or COCO run lengths.

A mask in a COCO file is addressed as ``FILE.json/IMAGE.jpg``.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from skimage.draw import disk, polygon

from src_core.errors import FormatError
from src_core.io.guard import broken, check_claim, reading, whole
from src_core.io.picture import Grid, Picture

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

COCO = ".coco.json"
MAX_JSON = 512 * 2**20
MOST_BITS = 60
"""Of a run length; more make no sense, and take long."""


def read(path: Path, *, mask: bool = False) -> Picture:
    """Draw the mask of an image.

    Raises
    ------
    FormatError
    """
    if not mask:
        raise FormatError(f"{path} holds outlines and no image; give it as a mask.")
    with reading(path, RecursionError):
        return _read_coco(path) if path.parent.is_file() else _read_labelme(path)


def _json(path: Path, stamp: int) -> dict[str, Any]:
    """The content of a file; ``stamp`` is when it was changed."""
    if path.stat().st_size > MAX_JSON:
        raise FormatError(f"{path} has {path.stat().st_size >> 20} MiB; expected at most {MAX_JSON >> 20}.")
    values = json.loads(path.read_text(encoding="utf-8-sig"))
    if not isinstance(values, dict):
        raise broken(path)
    return values


_kept = lru_cache(maxsize=1)(_json)
"""One COCO file is read once for all of its images."""


def _fill(pixels: NDArray[Any], points: Any, value: int) -> None:
    corners = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    if not np.isfinite(corners).all() or np.abs(corners).max(initial=0) > 1e7:
        raise ValueError
    rows, columns = polygon(corners[:, 1] - 0.5, corners[:, 0] - 0.5, pixels.shape)
    pixels[rows, columns] = value


# ------------------------------------------------------------------ LabelMe


def _read_labelme(path: Path) -> Picture:
    facts = _json(path, 0)
    if "shapes" not in facts or not facts.get("imageHeight"):
        raise FormatError(f"{path} is no LabelMe file (no shapes and size); give a COCO file itself as masks.")
    shape = (int(facts["imageHeight"]), int(facts["imageWidth"]))
    check_claim(path, shape, 2)
    names = _names(path.parent, max(file.stat().st_mtime_ns for file in path.parent.glob("*.json")))
    pixels = np.zeros(shape, dtype=np.uint8 if len(names) < 255 else np.uint16)
    for item in facts["shapes"]:
        _draw(pixels, item, names.index(str(item["label"])) + 1)
    facts["imageData"] = None
    labels = {0: ("background", "")} | {k: (name, "") for k, name in enumerate(names, start=1)}
    extra = {"facts": facts, "names": names, "digest": _digest(pixels)}
    return Picture(pixels=pixels, space=2, grid=Grid(spacing=(1.0, 1.0)), extra=extra, labels=labels)


@lru_cache(maxsize=4)
def _names(folder: Path, stamp: int) -> list[str]:
    """Names of the shapes in all LabelMe files of a folder."""
    found: set[str] = set()
    for file in folder.glob("*.json"):
        facts = json.loads(file.read_text(encoding="utf-8-sig"))
        if isinstance(facts, dict):
            found |= {str(item["label"]) for item in facts.get("shapes", ())}
    return sorted(found)


def _draw(pixels: NDArray[Any], item: Mapping[str, Any], value: int) -> None:
    kind, points = item.get("shape_type") or "polygon", np.asarray(item["points"], dtype=np.float64)
    if kind == "polygon":
        _fill(pixels, points, value)
    elif kind == "rectangle":
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        _fill(pixels, [(left, top), (right, top), (right, bottom), (left, bottom)], value)
    elif kind == "circle":
        radius = float(np.linalg.norm(points[1] - points[0]))
        pixels[disk((points[0][1] - 0.5, points[0][0] - 0.5), min(radius, 1e5), shape=pixels.shape)] = value
    elif kind == "mask":
        with Image.open(io.BytesIO(base64.b64decode(item["mask"]))) as image:
            inside = np.asarray(image) > 0
        left, top = (int(side) for side in points[0])
        part = pixels[top : top + inside.shape[0], left : left + inside.shape[1]]
        part[inside[: part.shape[0], : part.shape[1]]] = value


def _shapes(pixels: NDArray[Any], names: list[str]) -> list[dict[str, Any]]:
    shapes = []
    for value, name in enumerate(names, start=1):
        rows, columns = np.nonzero(pixels == value)
        if not len(rows):
            continue
        top, left, bottom, right = rows.min(), columns.min(), rows.max(), columns.max()
        packed = io.BytesIO()
        inside = pixels[top : bottom + 1, left : right + 1] == value
        Image.fromarray(inside.astype(np.uint8) * 255).convert("1").save(packed, "PNG")
        corners = [[float(left), float(top)], [float(right), float(bottom)]]
        shape: dict[str, Any] = {
            "label": name,
            "points": corners,
            "group_id": None,
            "description": "",
            "shape_type": "mask",
            "flags": {},
        }
        shapes.append({**shape, "mask": base64.b64encode(packed.getvalue()).decode()})
    return shapes


# ------------------------------------------------------------------ COCO


def images_of(path: Path) -> dict[str, str]:
    """Names of the images in a COCO file, by stem; empty if it is none."""
    with reading(path, RecursionError):
        facts = _kept(path, path.stat().st_mtime_ns)
        if not {"images", "annotations", "categories"} <= facts.keys():
            return {}
        names = [str(image["file_name"]).replace("\\", "/").rpartition("/")[2] for image in facts["images"]]
        return {name.rpartition(".")[0] or name: name for name in names}


def _read_coco(path: Path) -> Picture:
    facts = _kept(path.parent, path.parent.stat().st_mtime_ns)
    own = [
        image for image in facts["images"] if str(image["file_name"]).replace("\\", "/").rpartition("/")[2] == path.name
    ]
    if len(own) != 1:
        raise FormatError(f"{path.parent} names {path.name} {len(own)} times; expected once.")
    shape = (int(own[0]["height"]), int(own[0]["width"]))
    check_claim(path, shape, 4)
    values = {int(item["id"]): (str(item.get("name", "")), "") for item in facts["categories"]}
    if min(values) < 1:
        raise FormatError(f"{path.parent} has a category with the number {min(values)}; expected numbers above 0.")
    pixels = np.zeros(shape, dtype=np.min_scalar_type(max(values)))
    items = [item for item in facts["annotations"] if item["image_id"] == own[0]["id"]]
    for item in items:
        _draw_segmentation(pixels, item["segmentation"], int(item["category_id"]))
    kept = {"images": own, "annotations": items, "categories": facts["categories"]}
    extra = {"facts": kept, "digest": _digest(pixels)}
    labels = {0: ("background", ""), **values}
    return Picture(pixels=pixels, space=2, grid=Grid(spacing=(1.0, 1.0)), extra=extra, labels=labels)


def _draw_segmentation(pixels: NDArray[Any], drawn: Any, value: int) -> None:
    if isinstance(drawn, list):
        for part in drawn:
            _fill(pixels, part, value)
        return
    counts = drawn["counts"]
    runs = np.asarray(_runs(counts) if isinstance(counts, str) else counts, dtype=np.int64)
    if runs.min(initial=0) < 0 or runs.sum() != pixels.size or list(drawn["size"]) != list(pixels.shape):
        raise ValueError
    inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(pixels.shape[::-1]).T
    pixels[inside] = value


def _runs(text: str) -> list[int]:
    """Run lengths from COCO's letters: five bits each, lowest first; from the fourth on, differences to two before."""
    runs: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if shift > MOST_BITS:
            raise ValueError
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return runs


def _annotations(pixels: NDArray[Any], facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = []
    for number, category in enumerate(facts["categories"], start=1):
        inside = pixels == category["id"]
        if not inside.any():
            continue
        flat = inside.T.ravel()
        edges = np.flatnonzero(np.diff(flat)) + 1
        runs = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
        rows, columns = np.nonzero(inside)
        box = [int(columns.min()), int(rows.min()), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1]
        found.append(
            {
                "id": number,
                "image_id": facts["images"][0]["id"],
                "category_id": category["id"],
                "segmentation": {"size": list(pixels.shape), "counts": [0, *runs] if flat[0] else runs},
                "area": int(inside.sum()),
                "bbox": box,
                "iscrowd": 1,
            }
        )
    return found


# ------------------------------------------------------------------ writing


def _digest(pixels: NDArray[Any]) -> str:
    return hashlib.blake2b(np.ascontiguousarray(pixels, dtype=np.int64).tobytes(), digest_size=8).hexdigest()


def write(path: Path, pixels: NDArray[Any], *, mode: str = "L", extra: Mapping[str, Any]) -> None:
    """Write a mask ``(H, W)`` as LabelMe or COCO, as it was read; of a COCO file only the image's own part."""
    facts = dict(extra["facts"])
    if _digest(pixels) != extra["digest"]:
        if "shapes" in facts:
            facts["shapes"] = _shapes(pixels, list(extra["names"]))
        else:
            facts["annotations"] = _annotations(pixels, facts)
    with whole(path) as partial:
        partial.write_text(json.dumps(facts, indent=2, ensure_ascii=False), encoding="utf-8")
