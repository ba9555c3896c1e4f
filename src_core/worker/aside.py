"""Lets the window go first: while a person paints or moves the view, the training process computes nothing.

A lower priority is not enough for that: cores that compute beside it slow the window down through what they share, and
a GPU knows no priority at all (`benchmarks/worker/lateness.py`). A step lasts too long to wait for its end, so every
layer asks before it computes, forward and backward; what it computes is the same.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

if TYPE_CHECKING:
    from collections.abc import Iterator

    from src_core.train.control import Control


@contextmanager
def layers_wait(control: Control) -> Iterator[None]:
    """All layers of all networks of this process wait while the control says so."""

    def before(_module: object, _inputs: object) -> None:
        control.wait_aside()

    def after(_module: object, _inputs: object, output: Any) -> None:
        if isinstance(output, Tensor) and output.requires_grad:
            output.register_hook(backward)  # type: ignore[no-untyped-call]

    def backward(_gradient: Tensor) -> None:
        control.wait_aside()

    hooks = (register_module_forward_pre_hook(before), register_module_forward_hook(after))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
