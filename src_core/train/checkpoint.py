"""A training run on disk at the end of an epoch: one safetensors file, replaced whole or not at all.

No pickle: tensors in safetensors, everything else as JSON in its header. The last epoch is kept, not the best one: the
rate has fallen to nothing by then and the teacher is a mean over the last steps, the judge and the trust are settled at
the end on what the helpers say then, and picking an epoch by the helpers' held-out Dice would pick for the helpers, not
for the network beside them, and spoil the very pixels that the judge is tried on. Against a run that ends worse there
is the comparison with the run before (:mod:`src_core.review.run_comparison`).
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from src_core.config import TrainingSettings
from src_core.errors import CheckpointError, MetaDCSegError, storage_errors
from src_core.meta.calibration import TrustScale
from src_core.meta.judge import Judge
from src_core.networks.registry import build_network
from src_core.store.reading import as_object
from src_core.train.cases import WorkingSet
from src_core.train.checkpoint_header import OPTIMIZER_STATE, check_header, check_shapes, check_tensor
from src_core.train.dimensions import NEIGHBOURS
from src_core.train.intensities import intensities_of
from src_core.train.tiles import tiling_of
from src_core.train.working import Working

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from src_core.networks.segmenter import Segmenter
    from src_core.store.project import Project
    from src_core.train.dimensions import Dimensions
    from src_core.train.learner import Learner

FORMAT = "metadcseg-checkpoint-3"
NAME = "checkpoint.safetensors"
_OS_ERROR = re.compile(r"os error (\d+)")
_FREE = ("epochs", "threads", "device", "preset", "precision")
"""Settings that may differ between a checkpoint and the run that goes on from it."""


def dimensions_of(header: dict[str, Any]) -> Dimensions:
    """In how many dimensions a run was trained, whatever ``auto`` would take now."""
    found: Dimensions = header.get("dimensions", "2d")
    return found


def working_of(header: dict[str, Any]) -> Working:
    """How a run brought images to working resolution."""
    dimensions, seen = dimensions_of(header), int(header["channels"])
    return Working(
        channels=seen // (2 * NEIGHBOURS + 1) if dimensions == "2.5d" else seen,
        max_side=TrainingSettings.from_mapping(header["settings"]).max_side,
        dimensions=dimensions,
        spacing=float(header.get("working_spacing", 1.0)),
        tiling=tiling_of(header.get("tiling")),
        intensities=intensities_of(header.get("intensities")),
    )


def working_set(project: Project, header: dict[str, Any]) -> WorkingSet:
    """The images of a project as a run learned from them, the same tiles of large ones; added ones follow.

    Raises
    ------
    CheckpointError
        If the run is of another project.
    """
    settings = TrainingSettings.from_mapping(header["settings"])
    tiles = {int(case): tuple(numbers) for case, numbers in header.get("tiles", {}).items()}
    return WorkingSet(
        project,
        settings.max_side,
        dimensions_of(header),
        tiling=tiling_of(header.get("tiling")),
        tiles=tiles,
        intensities=intensities_of(header.get("intensities")),
        seed=settings.seed,
        known=order_of(project, header),
        spacing=float(header.get("working_spacing", 1.0)),
    )


def order_of(project: Project, header: dict[str, Any]) -> tuple[int, ...]:
    """Ids of the images that a run has, in its order; checkpoints of older versions have all that were not added.

    Raises
    ------
    CheckpointError
        If the project lacks one of them, or has others that were not added.
    """
    ids, added = [case.id for case in project.cases], project.added()
    order = header.get("cases", [case_id for case_id in ids if case_id not in added])
    if set(order) - set(ids) or set(ids) - set(order) - added:
        raise CheckpointError("The checkpoint of this run is of another project; train a new run.")
    return tuple(order)


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
        "tiling": None if learner.data.tiling is None else learner.data.tiling.as_mapping(),
        "cases": learner.data.order,
        "tiles": {str(case): list(numbers) for case, numbers in learner.data.tiles.items()},
        "intensities": None if (scale := learner.data.intensities) is None else scale.as_mapping(),
        "settings": asdict(learner.settings),
        "learned": None if learner.learned is None else sorted(learner.learned | learner.data.verified_ids()),
    }
    with storage_errors(target, "The checkpoint before is still there."):
        try:
            _write(_tensors(learner), partial, header)
            partial.replace(target)
        except OSError:
            partial.unlink(missing_ok=True)
            raise
    return target


def learned_cases(header: dict[str, Any]) -> frozenset[int] | None:
    """Cases, by id, that a run has learned verified pixels of, then or before; None in checkpoints that do not say."""
    learned = header.get("learned")
    return None if learned is None else frozenset(learned)


def _write(tensors: dict[str, torch.Tensor], path: Path, header: dict[str, Any]) -> None:
    try:
        save_file(tensors, path, metadata={"metadcseg": json.dumps(header)})
    except SafetensorError as error:  # says in words only what the operating system said
        found = _OS_ERROR.search(str(error))
        if found is None:
            raise
        raise OSError(int(found[1]), str(error)) from error
    with path.open("rb+") as file:
        os.fsync(file.fileno())


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
            header = as_object((file.metadata() or {}).get("metadcseg", "{}"))
            if header.get("format") == FORMAT:
                check_header(header)
                names = set(file.keys())
                check_shapes(header, lambda name: tuple(file.get_slice(name).get_shape()) if name in names else None)
    except (SafetensorError, OSError, ValueError, MetaDCSegError) as error:
        raise CheckpointError(
            f"The checkpoint of run {folder.name} cannot be read ({path}): it is damaged ({error}); train a new run."
        ) from error
    if header.get("format") != FORMAT:
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
            values = {name.removeprefix("teacher/"): check_tensor(name, file.get_tensor(name)) for name in names}
        teacher.load_state_dict(values)
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"The checkpoint of run {folder.name} is damaged ({error}); train a new run.") from error
    return teacher.to(device).eval().requires_grad_(False), header


def load(learner: Learner, folder: Path, *, free: tuple[str, ...] = ()) -> int:
    """Bring a learner to the state of a checkpoint.

    Parameters
    ----------
    learner : Learner
    folder : Path
        Of the run.
    free : tuple of str
        Settings that may be others than those of the checkpoint, beside epochs, threads and device.

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
    _check_settings(learner, header, folder, free)
    if any(index >= len(learner.data.cases) for half in header["folds"] for index in half):
        raise CheckpointError(f"The checkpoint of run {folder.name} is of another project; train a new run.")
    learner.learned = learned_cases(header)
    learner.folds = tuple(frozenset(half) for half in header["folds"])
    learner.twins = [learner.sibling(number) for number in range(1, len(learner.folds) + 1)]
    try:
        with safe_open(folder / NAME, framework="pt") as file:
            tensors = {name: check_tensor(name, file.get_tensor(name)) for name in file.keys()}
        _restore(learner, tensors)
    except (SafetensorError, OSError, KeyError, RuntimeError, ValueError) as error:
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


def _check_settings(learner: Learner, header: dict[str, Any], folder: Path, free: tuple[str, ...]) -> None:
    settings = asdict(TrainingSettings.from_mapping(header["settings"]))  # what is new since has its default
    for name, value in asdict(learner.settings).items():
        before = settings[name]
        if name not in (*_FREE, *free) and before != value:
            raise CheckpointError(
                f"Run {folder.name} was trained with {name} = {before}, now {value} is asked for; use the same "
                "value, or another run name."
            )


def _restore(learner: Learner, tensors: dict[str, torch.Tensor]) -> None:
    _restore_networks(learner, tensors)
    for number, twin in enumerate(learner.twins):
        _restore_networks(twin, _below(tensors, f"twin{number}/"))
    for index, values in enumerate(learner.weigher.memory.maps[: learner.data.known]):
        kept = tensors[f"memory/{index}"]
        if kept.shape != values.shape or kept.dtype != values.dtype:
            raise ValueError(f"image {index} has another size")
        learner.weigher.memory.maps[index] = kept
    for name, before in (("centers/values", learner.centers.values_RD), ("centers/counts", learner.centers.counts_R)):
        if tensors[name].shape != before.shape or tensors[name].dtype != before.dtype:
            raise ValueError(f"tensor {name} has another shape or type")
    learner.centers.values_RD = tensors["centers/values"]
    learner.centers.counts_R = tensors["centers/counts"]
    learner.centers.to(learner.device)


def _restore_networks(learner: Learner, tensors: dict[str, torch.Tensor]) -> None:
    for prefix, module in (("network/", learner.network), ("teacher/", learner.teacher)):
        module.load_state_dict(_below(tensors, prefix))
    for name, parameter in learner.network.named_parameters():
        state = _below(tensors, f"optimizer/{name}/")
        if any(key not in OPTIMIZER_STATE or value.shape not in ((), parameter.shape) for key, value in state.items()):
            raise ValueError(f"the optimiser's memory of {name} has another shape")
        if state:
            learner.optimizer.state[parameter] = {
                key: value if key == "step" else value.to(learner.device) for key, value in state.items()
            }


def _below(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
