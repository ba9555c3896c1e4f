"""Time and peak memory of one training step of each form, 2-D and 3-D, over growing images.

Run by ``python benchmarks/speed/report.py``, which writes the ratios and draws them.
"""

from __future__ import annotations

import os
from functools import lru_cache

import pytest
import torch
from forms import FORMS, peak_memory, settings_of, steps_of

SIZES = [(2, 64), (2, 96), (2, 128), (2, 160), (3, 32), (3, 48), (3, 64)]
ROUNDS = int(os.environ.get("SPEED_ROUNDS", "5"))

steps = lru_cache(maxsize=1)(steps_of)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("dims", "side"), SIZES)
def bench_step(benchmark, dims, side, form):
    torch.set_num_threads(2)
    step = steps(dims, side)[form]
    step()
    benchmark.group = f"{dims}-D, side {side}"
    benchmark.extra_info.update(
        form=form,
        dims=dims,
        side=side,
        network=settings_of(dims, side).network,
        batch=settings_of(dims, side).batch_size,
        peak_bytes=peak_memory(step),
    )
    # an even number of steps a round, so that a derivative that is due every other step counts half
    benchmark.pedantic(step, rounds=ROUNDS, iterations=4)
