"""The network of a run for use elsewhere: weights, how images are prepared, and a test that gives the same output.

Everything is written into a folder beside the target, which is renamed when it is complete. ``model.json`` says what
happens before and after the network; ``test_input.npy`` and ``test_output.npy`` are what goes in and comes out.

Shape suffixes: B batch, C classes, I input channels, X the space axes.
"""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from src_core import __version__
from src_core.config import TrainingSettings
from src_core.errors import InputError, storage_errors
from src_core.infer.bioimageio import write_description
from src_core.store.project import Project
from src_core.store.run_lookup import find_model
from src_core.train import checkpoint
from src_core.train.views import padded
from src_core.train.working import resize_image

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from src_core.data.case import Box, CaseInfo, ClassInfo
    from src_core.networks.segmenter import Segmenter
    from src_core.train.intensities import Intensities
    from src_core.train.working import Working

logger = logging.getLogger(__name__)

Format = Literal["onnx", "torchscript", "bioimageio", "safetensors"]

ONNX, TORCHSCRIPT, WEIGHTS = "model.onnx", "model.torchscript.pt", "model.safetensors"
MOST_TILES = 512


class Probabilities(nn.Module):
    """What is exported: normalised images to the probability of every class.

    Parameters
    ----------
    network : Segmenter
    """

    def __init__(self, network: Segmenter) -> None:
        super().__init__()
        self.body = network.body
        self.stride = network.stride

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Probabilities ``(B, C, X)``, of images ``(B, I, X)`` whose sides are multiples of the stride."""
        logits = self.body(image)
        first: torch.Tensor = logits[0] if isinstance(logits, (list, tuple)) else logits
        return first.softmax(1)


def export_model(project_path: str | Path, run_name: str | None, folder: Path, format: Format) -> list[Path]:
    """Write the network of a run into a new folder.

    Parameters
    ----------
    project_path : path
    run_name : str or None
        None takes the trained run that is reviewed with, or the newest where none has scores.
    folder : Path
        Made; may not hold anything yet.
    format : str
        ``onnx``, ``torchscript``, ``bioimageio`` (a description with both), or ``safetensors`` (weights alone, for
        :func:`src_core.networks.registry.build_network`).

    Raises
    ------
    InputError
        If the folder holds something, or a package is missing that the format needs.
    CheckpointError, StorageError
    """
    folder = folder.expanduser()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} holds something already; name a new or empty folder for the model.")
    with Project.open(project_path) as project:
        run = find_model(project.path, run_name)
        teacher, header = checkpoint.load_teacher(run.path, torch.device("cpu"))
        working = checkpoint.working_of(header)
        case, box = _part_shown(project.cases[0], working)
        if format == "bioimageio" and (len(case.shape) == 3 or working.dimensions != "2d"):
            raise InputError(
                "Format bioimageio describes models of images so far, and this one is of volumes; choose onnx, "
                "torchscript or safetensors."
            )
        image = project.read_image(case, box)
        classes, author = project.classes, project.author
    settings = TrainingSettings.from_mapping(header["settings"])
    example = _Example(teacher, case, image, working, header.get("window"))
    partial = folder.with_name(folder.name + ".partial")
    with storage_errors(folder, "No model was written."):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        record = _record(run.name, settings, header, classes, teacher, format)
        _write(partial, format, teacher, example, record, author)
        if folder.exists():
            folder.rmdir()
        partial.rename(folder)
    return sorted(folder.iterdir())


def _part_shown(case: CaseInfo, working: Working) -> tuple[CaseInfo, Box | None]:
    """What the network is shown of an image: all of it; of one that is worked on in tiles, one in its middle."""
    tiling = working.tiling
    if tiling is None or not tiling.cuts(case):
        return case, None
    box = tiling.box(case, tiling.count(case) // 2)
    return replace(case, shape=box.shape), box


class _Example:
    """An image of the project as the network sees it, and what the network says of it."""

    def __init__(
        self, teacher: Segmenter, case: CaseInfo, image: NDArray[Any], working: Working, window: list[int] | None
    ) -> None:
        self.network = Probabilities(teacher).eval()
        self.intensities = working.intensities
        parts = working.images(case, image)
        shown_IX = parts[len(parts) // 2]
        for axis, side in enumerate(window or (), start=1):
            shown_IX = shown_IX.narrow(axis, 0, min(side, shown_IX.shape[axis]))
        self.input_1IX = self._fitting(teacher, shown_IX.numpy())
        self.raw_1IX = self.input_1IX if len(case.shape) == 3 else self._fitting(teacher, _plain(image, working, case))
        self.output_1CX = self.said_of(self.input_1IX)

    @staticmethod
    def _fitting(teacher: Segmenter, values_IX: NDArray[np.float32]) -> torch.Tensor:
        return padded(teacher, torch.from_numpy(values_IX)[None]).contiguous()

    @torch.no_grad()
    def said_of(self, values_1IX: torch.Tensor) -> torch.Tensor:
        """Probabilities of an input."""
        said: torch.Tensor = self.network(values_1IX)
        return said


def _plain(image: NDArray[Any], working: Working, case: CaseInfo) -> NDArray[np.float32]:
    """An image at working resolution that is not normalised, float32, ``(I, H, W)``."""
    values = np.moveaxis(np.atleast_3d(image.astype(np.float32)), -1, 0)
    if values.shape[0] < working.channels:
        values = np.repeat(values[:1], working.channels, axis=0)
    return resize_image(np.ascontiguousarray(values), working.shape(case))


def _record(
    run: str,
    settings: TrainingSettings,
    header: dict[str, Any],
    classes: tuple[ClassInfo, ...],
    teacher: Segmenter,
    format: Format,
) -> dict[str, Any]:
    """model.json."""
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
            "side_multiple_of": teacher.stride,
            "least_side": teacher.min_side,
        },
        "output": {"name": "probabilities", "channels": len(classes), "type": "float32", "sum_over_channels": 1.0},
        "dimensions": checkpoint.dimensions_of(header),
        "preprocessing": [
            *_scaling(checkpoint.working_of(header).intensities),
            {"step": "resize", "longest_side_at_most": settings.max_side, "order": 1, "anti_aliasing": True},
            {"step": "pad", "mode": "replicate", "where": "end of each axis", "to_multiple_of": teacher.stride},
        ],
        "postprocessing": [
            {"step": "crop", "what": "the padding"},
            {"step": "resize", "to": "size of the image", "order": 1, "align_corners": False},
            {"step": "argmax", "over": "channels", "gives": "index of a class"},
        ],
        "note": "'metadcseg predict' takes the mean of a plain, mirrored and two scaled views; this is the plain one.",
    }


def _scaling(intensities: Intensities | None) -> list[dict[str, Any]]:
    """The steps that bring intensities to one scale."""
    if intensities is None:
        return [
            {"step": "clip", "per": "image, all channels together", "percentiles": [0.5, 99.5]},
            {"step": "zero mean, unit spread", "per": "image, all channels together", "least_spread": 1e-6},
        ]
    return [
        {"step": "clip", "low": intensities.low, "high": intensities.high},
        {"step": "scale", "subtract": intensities.mean, "divide_by": intensities.spread},
    ]


def _write(
    folder: Path, format: Format, teacher: Segmenter, example: _Example, record: dict[str, Any], author: str
) -> None:
    if format == "safetensors":
        weights = {name: value.contiguous().clone() for name, value in teacher.body.state_dict().items()}
        save_file(weights, folder / WEIGHTS, metadata={"metadcseg": json.dumps(record)})
    if format in ("onnx", "bioimageio"):
        record["sizes"] = _write_onnx(folder / ONNX, example, teacher)
    if format in ("torchscript", "bioimageio"):
        _write_torchscript(folder / TORCHSCRIPT, example)
    shown = example.raw_1IX if format == "bioimageio" else example.input_1IX
    said = (
        example.said_of(_as_bioimageio_prepares(shown, example.intensities))
        if format == "bioimageio"
        else example.output_1CX
    )
    np.save(folder / "test_input.npy", shown.numpy(), allow_pickle=False)
    np.save(folder / "test_output.npy", said.numpy(), allow_pickle=False)
    (folder / "model.json").write_text(json.dumps(record, indent=2), encoding="utf-8")
    if format == "bioimageio":
        write_description(folder, record, author, tuple(said.shape), torch.__version__)


def _as_bioimageio_prepares(raw_1IX: torch.Tensor, intensities: Intensities | None) -> torch.Tensor:
    """The steps of its description, at working resolution: clip, zero mean, unit spread."""
    values = raw_1IX.numpy()
    if intensities is not None:
        return torch.from_numpy(intensities.applied(values))
    values = np.clip(values, *np.percentile(values, (0.5, 99.5)))
    return torch.from_numpy(((values - values.mean()) / (values.std() + 1e-6)).astype(np.float32))


def _write_onnx(path: Path, example: _Example, teacher: Segmenter) -> str:
    """Write ONNX for images of any size; for those networks that do not allow it, for the size of the example.

    Returns
    -------
    str
        ``any multiple`` or ``fixed``.
    """
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError(
            "ONNX needs the packages onnx and onnxscript, which are not installed; install the extra with pip install "
            "'napari-metadcseg[export]', or write --format safetensors."
        ) from error
    names = {2: ("height", "width"), 3: ("depth", "height", "width")}[teacher.spatial_dims]
    sides = {axis: teacher.stride * torch.export.Dim(name, min=2, max=MOST_TILES) for axis, name in enumerate(names, 2)}
    try:
        _export(path, example, {"image": sides})
    except (torch.onnx.OnnxExporterError, RuntimeError, ValueError) as error:
        logger.info("This network is written for one size only: %s", str(error).splitlines()[0])
        _export(path, example, None)
        return "fixed"
    return "any multiple"


def _export(path: Path, example: _Example, sides: dict[str, Any] | None) -> None:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of what the exporter says of itself
        program = torch.onnx.export(
            example.network,
            (example.input_1IX,),
            dynamo=True,
            dynamic_shapes=sides,
            input_names=["image"],
            output_names=["probabilities"],
            verbose=False,
        )
    assert program is not None
    program.save(str(path), external_data=False)


def _write_torchscript(path: Path, example: _Example) -> None:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        traced: Any = torch.jit.trace(example.network, example.input_1IX, check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(traced, str(path))
