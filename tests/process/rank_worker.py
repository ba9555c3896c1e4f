"""One rank of a training in double precision, where equal is equal: ``rank_worker.py PROJECT RANK SIZE MEET OUT``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import torch

from src_core.config import preset
from src_core.errors import TrainingError
from src_core.store.project import Project
from src_core.train import learner as learner_module
from src_core.train.cases import WorkingSet
from src_core.train.control import Control
from src_core.train.joining import joined_at
from src_core.train.learner import Learner
from src_core.train.loop import Loop

STEPS = 20
METHODS = {
    "default": {},
    "weights in loss": {"cross_fit": False},
    "mixed": {"method": "mixed"},
    "used directly": {"cross_fit": False, "weighting": "image", "consistency_weight": 0.1, "steps_per_epoch": 1},
    "l2b": {"method": "l2b", "optimizer": "sgd", "steps_per_epoch": 1},
}
SHORT_AT = 12
"""The step, past the warm-up, in which memory runs out at the second rank."""
SHORT = ("last pass", "gradient")
"""Where in the step: after all that is remembered of it, and where the ranks put their gradients together."""


def settings_of(**changes):
    """Three crops do not split evenly; the warm-up ends after half of the steps."""
    values = {
        "epochs": 4,
        "steps_per_epoch": STEPS // 4,
        "base_width": 8,
        "patch_size": 32,
        "max_side": 48,
        "batch_size": 3,
        "meta_batch_size": 3,
        "min_verified": 10,
        "low_verified": 20,
        "device": "cpu",
        "verified_dice_weight": 0.5,
    }
    return preset("quick", **{**values, **changes})


def train(path, ranks, dtype=torch.float64, *, short="", noticed=None, **changes):
    """State after the steps, tensors by name; ``short`` of memory at some point, what is said of it in ``noticed``."""
    noticed = [] if noticed is None else noticed
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    torch.set_num_threads(1)
    try:
        with Project.open(path) as project:
            settings = settings_of(**changes)
            data = WorkingSet(project, settings.max_side)
            for case in data.cases:
                case.image_IX = case.image_IX.to(dtype)
            ranks.share_labels(data)
            learner = Learner(settings, data, torch.device("cpu"), ranks)
            told = []
            loop = Loop(learner, data, settings, ranks.control(Control()), lambda _event, /, **data: told.append(data))
            if short:
                _run_out(learner, short)
            rows = [loop.epoch(number) for number in range(settings.epochs)]
            noticed.extend(data["text"] for data in told if "Memory" in data.get("text", ""))
    finally:
        torch.set_default_dtype(before)
    return state_of(learner, rows)


def _run_out(learner, where):
    """Let two crops at a time be too much in one step, at one point of it."""
    passes = []

    def refuse(_module, inputs):
        if learner.steps == SHORT_AT and torch.is_grad_enabled() and len(inputs[0]) > 1:
            passes.append(inputs[0].shape)
            if len(passes) == 2:  # the first is that of the verified crops
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    def fail_once(*arguments):
        if learner.steps == SHORT_AT and not passes:
            passes.append(None)
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 3 bytes.")
        return slopes(*arguments)

    if where == "gradient":
        slopes, learner_module.gradient = learner_module.gradient, fail_once
    else:
        learner.network.register_forward_pre_hook(refuse)


def state_of(learner, rows):
    found = {"losses": torch.tensor([row["loss"] for row in rows]), "steps": torch.tensor(learner.steps)}
    for number, each in enumerate((learner, *learner.twins)):
        for name, network in (("network", each.network), ("teacher", each.teacher)):
            found |= {f"{number}.{name}.{key}": value for key, value in network.state_dict().items()}
        found[f"{number}.given weight"] = torch.tensor(each.given_weight)
        found[f"{number}.centers"] = each.centers.values_RD
        found |= {f"{number}.memory.{case}": values.float() for case, values in enumerate(each.weigher.memory.maps)}
    return {name: value.detach().cpu().numpy() for name, value in found.items()}


def main(arguments):
    path, rank, size, meet, out = arguments
    with joined_at(int(rank), int(size), "cpu", method=f"file://{meet}") as ranks:
        found = {}
        for method, changes in METHODS.items():
            found |= {f"{method}/{name}": value for name, value in train(path, ranks, **changes).items()}
        noticed = []
        for where in SHORT:
            state = train(path, ranks, short=where if rank == "1" else "", noticed=noticed)
            found |= {f"{where}/{name}": value for name, value in state.items()}
        np.savez(out, **found, noticed=noticed)
        if rank == "1":
            os._exit(9)  # dies without a word
        try:
            train(path, ranks)
        except TrainingError as error:
            Path(out + ".said").write_text(str(error), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
