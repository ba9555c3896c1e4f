"""rdf.yaml: a network described for bioimage.io, format 0.5. JSON is YAML, so nothing more is needed to write it."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

NAME = "rdf.yaml"
OPSET = 18


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
    (folder / "README.md").write_text(_readme(record), encoding="utf-8")
    description = {
        "format_version": "0.5.4",
        "type": "model",
        "name": f"MetaDCSeg {record['run']}",
        "description": "Segmentation network trained from masks with errors, cleaned in napari-metadcseg.",
        "authors": [{"name": author}],
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
        "config": {"metadcseg": {"run": record["run"], "longest_side_at_most": record["settings"]["max_side"]}},
    }
    (folder / NAME).write_text(json.dumps(description, indent=2), encoding="utf-8")


def _file(path: Path) -> dict[str, str]:
    return {"source": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _input(folder: Path, record: dict[str, Any], axes: tuple[str, ...]) -> dict[str, Any]:
    given = record["input"]
    size = {"min": given["least_side"], "step": given["side_multiple_of"]}
    channels = [f"channel{number}" for number in range(given["channels"])]
    whole = ["channel", *axes]
    return {
        "id": "image",
        "axes": [
            {"type": "batch", "size": 1},
            {"type": "channel", "channel_names": channels},
            *({"type": "space", "id": axis, "size": size} for axis in axes),
        ],
        "data": {"type": "float32"},
        "test_tensor": _file(folder / "test_input.npy"),
        "preprocessing": _scaling(record["preprocessing"][:2], whole),
    }


def _scaling(steps: list[dict[str, Any]], whole: list[str]) -> list[dict[str, Any]]:
    """Clip and scale, each image by itself or all alike."""
    clip, scale = steps
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
            *(
                {"type": "space", "id": axis, "size": {"tensor_id": "image", "axis_id": axis, "offset": 0}}
                for axis in axes
            ),
        ],
        "data": {"type": "float32", "range": [0.0, 1.0]},
        "test_tensor": _file(folder / "test_output.npy"),
    }


def _readme(record: dict[str, Any]) -> str:
    settings, stride = record["settings"], record["input"]["side_multiple_of"]
    classes = ", ".join(f"{each['index']} {each['name']}" for each in record["classes"])
    return f"""# MetaDCSeg {record["run"]}

A segmentation network ({settings["network"]}), trained with {record["program"]}. It gives the probability of every
class at every pixel: {classes}.

## Use

Shrink an image linearly, with smoothing, so that its longer side has at most {settings["max_side"]} px, and pad it by
repeating its edge to a multiple of {stride} px. Values are then clipped and scaled as the description says.
{record["note"]}

## Validation

`test_input.npy` and `test_output.npy` hold an image of the project and what the network says of it. How good it is on
verified pixels stands in the project that it was trained in.
"""
