"""rdf.yaml: a network described for bioimage.io, format 0.5. JSON is YAML, so nothing more is needed to write it."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from src_core.infer.export_readme import INPUTS, readme_of, scaled_before
from src_core.infer.export_record import FIXED

if TYPE_CHECKING:
    from pathlib import Path

NAME = "rdf.yaml"
OPSET = 18
UNITS = {"mm": "millimeter"}


def write_description(
    folder: Path, record: dict[str, Any], author: str, output_shape: tuple[int, ...], torch_version: str
) -> None:
    """Describe the ONNX and TorchScript files of a folder.

    Parameters
    ----------
    folder : Path
        With ``model.onnx``, ``model.torchscript.pt``, ``test_input.npy`` and ``test_output.npy``.
    record : dict
        What stands in ``model.json``.
    author : str
    output_shape : tuple of int
        Of ``test_output.npy``.
    torch_version : str
    """
    axes = ("z", "y", "x")[-(len(output_shape) - 2) :]
    (folder / "README.md").write_text(readme_of(record), encoding="utf-8")
    description = {
        "format_version": "0.5.4",
        "type": "model",
        "name": re.sub(r"[^A-Za-z0-9_+() -]", "-", f"MetaDCSeg {record['run']}")[:128],
        "description": "Segmentation network trained from masks with errors, cleaned in napari-metadcseg. Its input is "
        f"{INPUTS[record['dimensions']]}.",
        "authors": [{"name": re.sub(r"[/\\]", "-", author)}],
        "documentation": "README.md",
        "tags": ["segmentation", "noisy labels"],
        "inputs": [_input(folder, record, axes)],
        "outputs": [_output(folder, record, axes)],
        "weights": {
            "onnx": {**_file(folder / "model.onnx"), "opset_version": OPSET},
            "torchscript": {
                **_file(folder / "model.torchscript.pt"),
                "pytorch_version": torch_version.split("+")[0],
                "parent": "onnx",
            },
        },
        "attachments": [_file(folder / "model.json")],
        "config": {"metadcseg": {"run": record["run"], "preprocessing": record["preprocessing"]}},
    }
    (folder / NAME).write_text(json.dumps(description, indent=2), encoding="utf-8")


def _file(path: Path) -> dict[str, str]:
    return {"source": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _input(folder: Path, record: dict[str, Any], axes: tuple[str, ...]) -> dict[str, Any]:
    given = record["input"]
    sizes: list[Any] = [{"min": given["least_side"], "step": given["side_multiple_of"]}] * len(axes)
    if record["sizes"] == FIXED:
        sizes = given["test_sides"]
    scaled = {} if scaled_before(record) else {"preprocessing": _scaling(record["preprocessing"][:2], axes)}
    return {
        "id": "image",
        "description": _words(record),
        "axes": [
            {"type": "batch", "size": 1},
            {"type": "channel", "channel_names": given["channel_names"]},
            *(
                {"type": "space", "id": axis, "size": size, **_voxel(record)}
                for axis, size in zip(axes, sizes, strict=True)
            ),
        ],
        "data": {"type": "float32"},
        "test_tensor": _file(folder / "test_input.npy"),
        **scaled,
    }


def _words(record: dict[str, Any]) -> str:
    """What an input is, in at most 128 characters."""
    words = {
        "2d": "An image, or a slice of a volume",
        "2.5d": "A slice of a volume; channels are the slice before, itself and the slice after",
        "3d": "A volume or a box of it",
    }[record["dimensions"]]
    return words + (", scaled over the volume (see README)" if scaled_before(record) else "")


def _voxel(record: dict[str, Any]) -> dict[str, Any]:
    """Edge of a voxel, where all volumes are brought to one."""
    resize = next(each for each in record["preprocessing"] if each["step"] == "resize")
    unit = UNITS.get(resize.get("unit", ""))
    return {} if unit is None else {"scale": resize["voxel"], "unit": unit}


def _scaling(steps: list[dict[str, Any]], axes: tuple[str, ...]) -> list[dict[str, Any]]:
    """Clip and scale, each image by itself or all alike."""
    clip, scale = steps
    whole = ["channel", *axes]
    if "percentiles" in clip:
        low, high = clip["percentiles"]
        return [
            {"id": "clip", "kwargs": {"min_percentile": low, "max_percentile": high, "axes": whole}},
            {"id": "zero_mean_unit_variance", "kwargs": {"axes": whole, "eps": 1e-6}},
        ]
    return [
        {"id": "clip", "kwargs": {"min": clip["low"], "max": clip["high"]}},
        {"id": "fixed_zero_mean_unit_variance", "kwargs": {"mean": scale["subtract"], "std": scale["divide_by"]}},
    ]


def _output(folder: Path, record: dict[str, Any], axes: tuple[str, ...]) -> dict[str, Any]:
    return {
        "id": "probabilities",
        "axes": [
            {"type": "batch", "size": 1},
            {"type": "channel", "channel_names": [each["name"] for each in record["classes"]]},
            *({"type": "space", "id": axis, "size": _same(axis), **_voxel(record)} for axis in axes),
        ],
        "data": {"type": "float32", "range": [0.0, 1.0]},
        "test_tensor": _file(folder / "test_output.npy"),
    }


def _same(axis: str) -> dict[str, Any]:
    """As long as the input."""
    return {"tensor_id": "image", "axis_id": axis, "offset": 0}
