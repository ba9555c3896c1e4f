"""A training run on disk at the end of an epoch: one safetensors file, replaced whole or not at all.

No pickle: tensors in safetensors, everything else as JSON in its header.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from src_core.config import TrainingSettings
from src_core.errors import CheckpointError, storage_errors
from src_core.meta.calibration import TrustScale
from src_core.meta.judge import Judge
from src_core.networks.registry import build_network

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from src_core.networks.segmenter import Segmenter
    from src_core.train.dimensions import Dimensions
    from src_core.train.learner import Learner

FORMAT = "metadcseg-checkpoint-3"
NAME = "checkpoint.safetensors"
_FREE = ("epochs", "threads", "device", "preset")
"""Settings that may differ between a checkpoint and the run that goes on from it."""


def dimensions_of(header: dict[str, Any]) -> Dimensions:
    """In how many dimensions a run was trained, whatever ``auto`` would take now."""
    found: Dimensions = header.get("dimensions", "2d")
    return found


def save(learner: Learner, folder: Path, epoch: int) -> Path:
    """Write the state after ``epoch`` epochs.

    Raises
    ------
    StorageError
        If the disk is full or may not be written; the checkpoint before stays as it was.
    """
    target = folder / NAME
    partial = folder / (NAME + ".partial")
    header = {
        "format": FORMAT,
        "epoch": epoch,
        "steps": learner.steps,
        "evidence_scale": learner.weigher.evidence_scale,
        "judge": None if learner.judge is None else asdict(learner.judge),
        "trust_scale": None if learner.trust_scale is None else asdict(learner.trust_scale),
        "warmup_end": learner.warmup_end,
        "agreement": learner.agreement,
        "folds": [sorted(half) for half in learner.folds],
        "twin_steps": [twin.steps for twin in learner.twins],
        "given_weights": [each.given_weight for each in (learner, *learner.twins)],
        "lengths": learner.weigher.lengths,
        "classes": learner.classes,
        "channels": learner.channels,
        "spatial_dims": learner.spatial_dims,
        "dimensions": learner.dimensions,
        "working_spacing": learner.working_spacing,
        "window": learner.window,
        "settings": asdict(learner.settings),
    }
    with storage_errors(target, "The checkpoint before is still there."):
        save_file(_tensors(learner), partial, metadata={"metadcseg": json.dumps(header)})
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(target)
    return target


def _tensors(learner: Learner) -> dict[str, torch.Tensor]:
    tensors = _networks(learner, "")
    for number, twin in enumerate(learner.twins):
        tensors |= _networks(twin, f"twin{number}/")
    tensors |= {f"memory/{index}": values for index, values in enumerate(learner.weigher.memory.maps)}
    tensors |= {"centers/values": learner.centers.values_RD, "centers/counts": learner.centers.counts_R}
    return {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}


def _networks(learner: Learner, prefix: str) -> dict[str, torch.Tensor]:
    tensors = {f"{prefix}network/{name}": value for name, value in learner.network.state_dict().items()}
    tensors |= {f"{prefix}teacher/{name}": value for name, value in learner.teacher.state_dict().items()}
    names: dict[torch.Tensor, str] = {parameter: name for name, parameter in learner.network.named_parameters()}
    for parameter, state in learner.optimizer.state.items():
        tensors |= {
            f"{prefix}optimizer/{names[parameter]}/{key}": value for key, value in state.items() if value is not None
        }
    return tensors


def read_header(folder: Path) -> dict[str, Any]:
    """Everything of a checkpoint that is no tensor.

    Raises
    ------
    CheckpointError
        If there is none, or it is damaged or foreign.
    """
    path = folder / NAME
    if not path.is_file():
        raise CheckpointError(f"Run {folder.name} has no checkpoint yet ({path} is missing); train it first.")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("metadcseg", "{}"))
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"The checkpoint of run {folder.name} cannot be read ({path}): it is damaged; train a new run."
        ) from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise CheckpointError(f"{path} is no checkpoint of this program (expected format {FORMAT}); train a new run.")
    return header


def load_teacher(folder: Path, device: torch.device) -> tuple[Segmenter, dict[str, Any]]:
    """The teacher of a run by itself, ready to predict, and the header of its checkpoint.

    Raises
    ------
    CheckpointError
        If the checkpoint is missing or damaged.
    """
    header = read_header(folder)
    settings = TrainingSettings.from_mapping(header["settings"])
    channels, classes, dims = (int(header[name]) for name in ("channels", "classes", "spatial_dims"))
    teacher = build_network(channels, classes, settings, spatial_dims=dims)
    try:
        with safe_open(folder / NAME, framework="pt") as file:
            names = [name for name in file.keys() if name.startswith("teacher/")]
            teacher.load_state_dict({name.removeprefix("teacher/"): file.get_tensor(name) for name in names})
    except (SafetensorError, OSError, RuntimeError) as error:
        raise CheckpointError(f"The checkpoint of run {folder.name} is damaged ({error}); train a new run.") from error
    return teacher.to(device).eval().requires_grad_(False), header


def load(learner: Learner, folder: Path) -> int:
    """Bring a learner to the state of a checkpoint.

    Returns
    -------
    int
        Epochs that are done.

    Raises
    ------
    CheckpointError
        If it is missing, damaged, or of other settings or another number of images.
    """
    header = read_header(folder)
    _check_settings(learner, header, folder)
    learner.folds = tuple(frozenset(half) for half in header["folds"])
    learner.twins = [learner.sibling(number) for number in range(1, len(learner.folds) + 1)]
    try:
        with safe_open(folder / NAME, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        _restore(learner, tensors)
    except (SafetensorError, OSError, KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"The checkpoint of run {folder.name} does not fit this project ({error}); train a new run."
        ) from error
    learner.steps = int(header["steps"])
    for twin, steps in zip(learner.twins, header["twin_steps"], strict=True):
        twin.steps = int(steps)
    for each, weight in zip((learner, *learner.twins), header["given_weights"], strict=True):
        each.given_weight = float(weight)
    learner.weigher.evidence_scale = float(header["evidence_scale"])
    judge = header["judge"]
    learner.judge = None if judge is None else Judge(tuple(map(tuple, judge["coefficients"])))
    scale = header["trust_scale"]
    learner.trust_scale = None if scale is None else TrustScale(float(scale["slope"]), float(scale["intercept"]))
    learner.warmup_end = None if header["warmup_end"] is None else int(header["warmup_end"])
    learner.agreement = [float(value) for value in header["agreement"]]
    learner.weigher.lengths = [float(value) for value in header["lengths"]]
    return int(header["epoch"])


def _check_settings(learner: Learner, header: dict[str, Any], folder: Path) -> None:
    trained = asdict(TrainingSettings.from_mapping(header["settings"]))
    for name, value in asdict(learner.settings).items():
        before = trained[name]
        if name not in _FREE and before != value:
            raise CheckpointError(
                f"Run {folder.name} was trained with {name} = {before}, now {value} is asked for; use the same "
                "value, or another run name."
            )


def _restore(learner: Learner, tensors: dict[str, torch.Tensor]) -> None:
    _restore_networks(learner, tensors)
    for number, twin in enumerate(learner.twins):
        _restore_networks(twin, _below(tensors, f"twin{number}/"))
    for index, values in enumerate(learner.weigher.memory.maps):
        kept = tensors[f"memory/{index}"]
        if kept.shape != values.shape:
            raise KeyError(f"image {index} has another size")
        learner.weigher.memory.maps[index] = kept
    learner.centers.values_RD = tensors["centers/values"]
    learner.centers.counts_R = tensors["centers/counts"]
    learner.centers.to(learner.device)


def _restore_networks(learner: Learner, tensors: dict[str, torch.Tensor]) -> None:
    for prefix, module in (("network/", learner.network), ("teacher/", learner.teacher)):
        module.load_state_dict(_below(tensors, prefix))
    for name, parameter in learner.network.named_parameters():
        state = _below(tensors, f"optimizer/{name}/")
        if state:
            learner.optimizer.state[parameter] = {
                key: value if key == "step" else value.to(learner.device) for key, value in state.items()
            }


def _below(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
