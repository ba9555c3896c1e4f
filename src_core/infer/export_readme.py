"""README.md of a network for use elsewhere: what goes in, in sentences."""

from __future__ import annotations

from typing import Any

from src_core.infer.export_record import CUT

INPUTS = {
    "2d": "a whole image, or one slice of a volume",
    "2.5d": "one slice of a volume with its neighbours: the slice before, the slice itself and the slice after are the "
    "channels, in this order; at the ends of the volume the slice stands for the missing one",
    "3d": "a volume, or a box of it, with axes z, y, x and voxels of one edge length",
}

SCALED = "Values are then clipped and scaled as the description says."
OVER_VOLUME = (
    "Clip the whole volume at its 0.5 and 99.5 percentiles, subtract its mean and divide by its spread; a description "
    "could say this of one input only, so there it says nothing."
)


def scaled_before(record: dict[str, Any]) -> bool:
    """True where intensities are scaled over a volume, of which one input shows only a slice or a box.

    A description cannot say that, so what it describes is an input that is scaled already.
    """
    return str(record["preprocessing"][0].get("per", "")).startswith("volume")


def readme_of(record: dict[str, Any]) -> str:
    """The text, Markdown; ``record`` is model.json."""
    classes = ", ".join(f"{each['index']} {each['name']}" for each in record["classes"])
    return f"""# MetaDCSeg {record["run"]}

A segmentation network ({record["settings"]["network"]}), trained with {record["program"]}. It gives the probability of
every class at every pixel: {classes}. Its input is {INPUTS[record["dimensions"]]}.

## Use

{_use(record)}
{record["note"]}

## Validation

`test_input.npy` and `test_output.npy` hold what goes in and what comes out for {_shown(record)} of the project.
How good it is on verified pixels stands in the project that it was trained in.
"""


def _shown(record: dict[str, Any]) -> str:
    if record["dimensions"] == "3d":
        return "a box in the middle of a volume"
    return "an image" if _step(record, CUT) is None else "a slice in the middle of a volume"


def _step(record: dict[str, Any], name: str) -> dict[str, Any] | None:
    return next((each for each in record["preprocessing"] if each["step"] == name), None)


def _use(record: dict[str, Any]) -> str:
    """Steps before the network."""
    given, resize, cut = record["input"], _step(record, "resize"), _step(record, CUT)
    assert resize is not None
    stride, least = given["side_multiple_of"], given["least_side"]
    pad = f"pad it by repeating its edge to a multiple of {stride} px along each axis, and to at least {least}"
    before, after = (OVER_VOLUME + " ", "") if scaled_before(record) else ("", " " + SCALED)
    if record["dimensions"] == "3d":
        return f"{before}{_use_of_volume(record, resize, pad)}{after}"
    shrink = f"linearly, with smoothing, so that its longer side has at most {resize['longest_side_at_most']} px"
    if cut is None:
        return f"Shrink an image {shrink}, and {pad}. {SCALED}"
    neighbours = " Stack it with its neighbours as channels." if record["dimensions"] == "2.5d" else ""
    return (
        f"{before}Cut the volume into slices across {cut['across']}. Shrink each slice {shrink}, and {pad}."
        f"{neighbours}{after}"
    )


def _use_of_volume(record: dict[str, Any], resize: dict[str, Any], pad: str) -> str:
    sides = " x ".join(str(side) for side in record["postprocessing"][0]["sides"])
    return (
        f"Bring a volume linearly, with smoothing where it shrinks, to voxels of {resize['voxel']:g} {resize['unit']} "
        f"along each axis, and {pad}. The network learned from boxes of {sides} voxels, and may normalise over all "
        "that it is shown: ask larger volumes in boxes of these sides that overlap, and blend what it says."
    )
