"""model.json: what happens before and after an exported network, in the order in which it happens."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from src_core import __version__
from src_core.config import TrainingSettings
from src_core.train import checkpoint
from src_core.train.dimensions import NEIGHBOURS

if TYPE_CHECKING:
    from src_core.data.case import CaseInfo, ClassInfo
    from src_core.networks.segmenter import Segmenter
    from src_core.train.working import Working

ANY, FIXED = "any multiple", "fixed"
"""Sizes that an exported network takes: of the stride, or that of the test alone."""

CUT = "cut into slices"
SPREAD = 1e-6
ACROSS = "its axis of the coarsest spacing, the first of equal ones; the axes of a file count as z, y, x"

SLICES = ("the slice before", "the slice in question", "the slice after")
"""Channels of ``2.5d``; each is all channels of the image."""

VIEWS = "'metadcseg predict' takes the mean of a plain, a mirrored and two scaled views; this is the plain one."
VIEWS_3D = "'metadcseg predict' takes the mean of a plain and a mirrored view (along x); this is the plain one."


def model_record(
    run: str, header: dict[str, Any], classes: tuple[ClassInfo, ...], teacher: Segmenter, case: CaseInfo, format: str
) -> dict[str, Any]:
    """What model.json says of a network.

    Parameters
    ----------
    run : str
    header : dict
        Of the checkpoint.
    classes : tuple of ClassInfo
    teacher : Segmenter
    case : CaseInfo
        What it is tried on.
    format : str
    """
    settings, working = TrainingSettings.from_mapping(header["settings"]), checkpoint.working_of(header)
    return {
        "program": f"napari-metadcseg {__version__}",
        "run": run,
        "format": format,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": asdict(settings),
        "epochs": header["epoch"],
        "classes": [{"index": each.index, "name": each.name, "value": each.value} for each in classes],
        "input": {
            "name": "image",
            "axes": "bcyx" if teacher.spatial_dims == 2 else "bczyx",
            "type": "float32",
            "channels": header["channels"],
            "channel_names": channel_names(working),
            "side_multiple_of": teacher.stride,
            "least_side": teacher.min_side,
        },
        "output": {"name": "probabilities", "channels": len(classes), "type": "float32", "sum_over_channels": 1.0},
        "dimensions": working.dimensions,
        "preprocessing": _before(working, teacher, case),
        "postprocessing": _after(working, header, case),
        "note": VIEWS_3D if working.dimensions == "3d" else VIEWS,
    }


def channel_names(working: Working) -> list[str]:
    """What the network's input channels are, in words."""
    plain = [f"channel{number}" for number in range(working.channels)]
    if working.dimensions != "2.5d":
        return plain
    assert len(SLICES) == 2 * NEIGHBOURS + 1
    return list(SLICES) if working.channels == 1 else [f"{place}, {name}" for place in SLICES for name in plain]


def _before(working: Working, teacher: Segmenter, case: CaseInfo) -> list[dict[str, Any]]:
    """Steps from an image to the input."""
    whole = "volume" if len(case.shape) == 3 else "image"
    steps = _scaling(working, whole)
    if working.dimensions == "3d":
        steps.append({"step": "resize", "voxel": working.spacing, "unit": case.unit, "order": 1, "anti_aliasing": True})
    else:
        if working.cuts(case):
            steps.append({"step": CUT, "across": ACROSS})
        steps.append({"step": "resize", "longest_side_at_most": working.max_side, "order": 1, "anti_aliasing": True})
    if working.dimensions == "2.5d":
        steps.append({"step": "stack slices as channels", "order": list(SLICES), "missing": "the slice in question"})
    pad = {"step": "pad", "mode": "replicate", "where": "end of each axis", "to_multiple_of": teacher.stride}
    return [*steps, {**pad, "to_at_least": teacher.min_side}]


def _scaling(working: Working, whole: str) -> list[dict[str, Any]]:
    """The steps that bring intensities to one scale."""
    scale = working.intensities
    if scale is None:
        per = f"{whole}, all channels together"
        return [
            {"step": "clip", "per": per, "percentiles": [0.5, 99.5]},
            {"step": "zero mean, unit spread", "per": per, "least_spread": SPREAD},
        ]
    return [
        {"step": "clip", "low": scale.low, "high": scale.high},
        {"step": "scale", "subtract": scale.mean, "divide_by": scale.spread},
    ]


def _after(working: Working, header: dict[str, Any], case: CaseInfo) -> list[dict[str, Any]]:
    """Steps from the output to a mask."""
    steps: list[dict[str, Any]] = [{"step": "crop", "what": "the padding"}]
    if header.get("window") is not None:
        words = "larger volumes are asked in boxes of these sides that overlap by a quarter, and blended"
        steps.insert(0, {"step": "blend", "what": words, "sides": list(header["window"])})
    whole = "volume" if working.dimensions == "3d" else "slice" if working.cuts(case) else "image"
    return [
        *steps,
        {"step": "resize", "to": f"size of the {whole}", "order": 1, "align_corners": False},
        {"step": "argmax", "over": "channels", "gives": "index of a class"},
    ]
