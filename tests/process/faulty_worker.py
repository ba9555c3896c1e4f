"""The training process, with a network whose memory runs out while the file named by ``FAULTY_MEMORY`` is there."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

from src_core.train import learner
from src_core.worker.process import main

FLAG = Path(os.environ.get("FAULTY_MEMORY", "/nowhere/at/all"))
build = learner.build_network


def build_small(*args, **more):
    network = build(*args, **more)

    def refuse(_module, inputs):
        if torch.is_grad_enabled() and inputs[0].shape[0] > 1 and FLAG.exists():
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    network.register_forward_pre_hook(refuse)
    return network


if __name__ == "__main__":
    learner.build_network = build_small
    sys.exit(main(sys.argv[1:]))
