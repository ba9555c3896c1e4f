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
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn import functional

from src_core.errors import InputError, storage_errors
from src_core.infer.bioimageio import write_description
from src_core.infer.export_example import Example, part_shown, typical_case
from src_core.infer.export_readme import scaled_before
from src_core.infer.export_record import ANY, FIXED, model_record
from src_core.store.project import Project
from src_core.store.run_lookup import find_model
from src_core.train import checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    from src_core.networks.segmenter import Segmenter

logger = logging.getLogger(__name__)

Format = Literal["onnx", "torchscript", "bioimageio", "safetensors"]

ONNX, TORCHSCRIPT, WEIGHTS = "model.onnx", "model.torchscript.pt", "model.safetensors"
MOST_TILES = 512


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
        case, box = part_shown(typical_case(project.cases), working)
        image = project.read_image(case, box)
        classes, author = project.classes, project.author
    example = Example(teacher, case, image, working, header.get("window"))
    partial = folder.with_name(folder.name + ".partial")
    with storage_errors(folder, "No model was written."):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        record = model_record(run.name, header, classes, teacher, case, format)
        _write(partial, format, teacher, example, record, author)
        if folder.exists():
            folder.rmdir()
        partial.rename(folder)
    return sorted(folder.iterdir())


def _write(
    folder: Path, format: Format, teacher: Segmenter, example: Example, record: dict[str, Any], author: str
) -> None:
    sizes = []
    if format == "safetensors":
        weights = {name: value.contiguous().clone() for name, value in teacher.body.state_dict().items()}
        save_file(weights, folder / WEIGHTS, metadata={"metadcseg": json.dumps(record)})
    if format in ("onnx", "bioimageio"):
        sizes.append(_write_onnx(folder / ONNX, example, teacher))
    if format in ("torchscript", "bioimageio"):
        sizes.append(_write_torchscript(folder / TORCHSCRIPT, example))
    if sizes:
        record["sizes"] = FIXED if FIXED in sizes else ANY
    given, said = example.input_1IX, example.output_1CX
    if format == "bioimageio" and not scaled_before(record):
        given, said = example.raw_1IX, example.said_of(example.scaled())
    np.save(folder / "test_input.npy", given.numpy(), allow_pickle=False)
    np.save(folder / "test_output.npy", said.numpy(), allow_pickle=False)
    record["input"]["test_sides"] = list(given.shape[2:])
    (folder / "model.json").write_text(json.dumps(record, indent=2), encoding="utf-8")
    if format == "bioimageio":
        write_description(folder, record, author, tuple(said.shape), torch.__version__)


def _write_onnx(path: Path, example: Example, teacher: Segmenter) -> str:
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
        return FIXED
    return ANY


def _export(path: Path, example: Example, sides: dict[str, Any] | None) -> None:
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


def _write_torchscript(path: Path, example: Example) -> str:
    """Write TorchScript, and try whether it also takes an input that is larger by one stride.

    Returns
    -------
    str
        ``any multiple`` or ``fixed``.
    """
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        traced: Any = torch.jit.trace(example.network, example.input_1IX, check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(traced, str(path))
    axes = example.input_1IX.ndim - 2
    larger_1IX = functional.pad(example.input_1IX, (0, example.network.stride) * axes, mode="replicate")
    try:
        said = traced(larger_1IX)
    except RuntimeError as error:
        logger.info("This network is traced for one size only: %s", str(error).splitlines()[-1])
        return FIXED
    return ANY if torch.allclose(said, example.said_of(larger_1IX), atol=1e-4) else FIXED
