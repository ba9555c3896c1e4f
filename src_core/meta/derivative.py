"""The weight of every label at every pixel, from one forward-mode derivative.

With ``v`` the gradient of the loss on verified pixels, one virtual step of gradient descent on a pixel's loss
with label c changes the verified loss, to first order, by ``-w_p(c)`` per unit of weight::

    w_p(c) = < grad_theta l_p(theta; c), v >                                        (method.md, eq. 1)

All pixels and all labels follow from one directional derivative of the logits along v. With cross-entropy::

    w_p(c) = sum_k s_p(k) zdot_p(k) - zdot_p(c),   zdot = d/dt f(x; theta + t v)    (method.md, eq. 2)

In words: how much likelier label c becomes at p when the network takes one step on the verified pixels. This is
exact, equal to differentiating through the virtual step (double backward), and keeps no second-order graph.

Shape suffixes: B batch, C classes, I input channels, X any number of space axes (2 or 3).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.autograd import forward_ad

from src_core.networks.stateless import call_with, copied_buffers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

logger = logging.getLogger(__name__)

RELATIVE_STEP = 2e-5
MAX_RELATIVE_STEP = 1e-4
"""A longer step than this, relative to the parameters, gives wrong signs (measured: 6 % of them at 1e-3)."""


class Derivative:
    """Logits of a network and their derivative when its parameters move along a direction.

    One forward-mode pass; where a layer of the network has no forward derivative, two plain passes a little to either
    side (central differences), from then on.

    Parameters
    ----------
    network : Module
        Its buffers are never changed: normalisation statistics stay as they are.

    Attributes
    ----------
    by_differences : bool
        True once a layer without forward derivative was met.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.by_differences = False

    def __call__(self, direction: Mapping[str, Tensor], images_BIX: Tensor) -> tuple[Tensor, Tensor]:
        """As :func:`logits_along`."""
        if not self.by_differences:
            try:
                return logits_along(self.network, direction, images_BIX)
            except RuntimeError as error:
                if not _lacks_forward_derivative(error):
                    raise
                logger.warning("A layer has no forward derivative; finite differences take its place (%s).", error)
                self.by_differences = True
        return logits_along_by_differences(self.network, direction, images_BIX)


def _lacks_forward_derivative(error: Exception) -> bool:
    return any(words in str(error) for words in ("forward AD", "forward mode AD", "forward-mode AD", "jvp"))


def logits_along(network: nn.Module, direction: Mapping[str, Tensor], images_BIX: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and their derivative when the parameters move along a direction.

    Parameters
    ----------
    network : Module
        Any network whose operations have forward derivatives. Its buffers are copied, so that normalisation
        statistics are left as they are.
    direction : mapping of parameter name to Tensor
        ``v``; parameters that are missing do not move.
    images_BIX : Tensor, float32 or float64

    Returns
    -------
    logits_BCX, derivative_BCX : Tensor
        ``f(x; theta)`` and ``d/dt f(x; theta + t v)`` at t = 0; no graph is kept.
    """
    with torch.no_grad(), forward_ad.dual_level():
        moving = {
            name: _dual(value.detach(), direction[name]) if name in direction else value.detach()
            for name, value in network.named_parameters()
        }
        output = call_with(network, {**moving, **copied_buffers(network)}, images_BIX)
        logits_BCX, derivative_BCX = forward_ad.unpack_dual(output)  # type: ignore[no-untyped-call]
        if derivative_BCX is None:
            derivative_BCX = torch.zeros_like(logits_BCX)
        return logits_BCX.clone(), derivative_BCX.clone()


def logits_along_by_differences(
    network: nn.Module,
    direction: Mapping[str, Tensor],
    images_BIX: Tensor,
    *,
    relative_step: float = RELATIVE_STEP,
) -> tuple[Tensor, Tensor]:
    """The same by central differences: two plain passes, for layers without forward derivatives.

    Parameters
    ----------
    network, direction, images_BIX
        As in :func:`logits_along`; single or double precision only.
    relative_step : float
        Length of the step over the length of the parameters, in (0, 1e-4].

    Raises
    ------
    ValueError
        For a longer step, or parameters in half precision: either gives wrong signs.
    """
    parameters = dict(network.named_parameters())
    if not 0 < relative_step <= MAX_RELATIVE_STEP:
        raise ValueError(f"relative_step is {relative_step}, expected a number in (0, {MAX_RELATIVE_STEP}]")
    if any(value.dtype not in (torch.float32, torch.float64) for value in parameters.values()):
        raise ValueError("finite differences need parameters in float32 or float64")
    length = norm(direction)
    step = relative_step * norm({name: value.detach() for name, value in parameters.items()}) / max(length, 1e-30)
    sides = []
    with torch.no_grad():
        for sign in (1.0, -1.0):
            moved = {
                name: value + sign * step * direction[name] if name in direction else value
                for name, value in parameters.items()
            }
            sides.append(call_with(network, {**moved, **copied_buffers(network)}, images_BIX))
    return (sides[0] + sides[1]) / 2, (sides[0] - sides[1]) / (2 * step)


def _dual(value: Tensor, tangent: Tensor) -> Tensor:
    dual: Tensor = forward_ad.make_dual(value, tangent)  # type: ignore[no-untyped-call]
    return dual


def label_weights(logits_BCX: Tensor, derivative_BCX: Tensor) -> Tensor:
    """Meta weight of every label at every pixel (eq. 2); its softmax-weighted sum over labels is 0.

    Returns
    -------
    Tensor, (B, C, X)
        Signed; positive where a step on the verified pixels speaks for the label. A pixel that the network
        already fits has weights near 0 whatever its label: that is no evidence, not distrust.
    """
    softmax_BCX = logits_BCX.softmax(1)
    return (softmax_BCX * derivative_BCX).sum(1, keepdim=True) - derivative_BCX


def gradient(parameters: nn.Module | Mapping[str, Tensor], loss: Tensor) -> dict[str, Tensor]:
    """Gradient of a scalar loss by parameter name, zeros where a parameter plays no part; the graph is freed.

    Parameters
    ----------
    parameters : Module or mapping of name to Tensor
        A network's own, or those that took their place in the pass.
    loss : Tensor, scalar
    """
    moving = dict(parameters.named_parameters()) if isinstance(parameters, nn.Module) else dict(parameters)
    slopes = torch.autograd.grad(loss, list(moving.values()), allow_unused=True)
    return {
        name: torch.zeros_like(value) if slope is None else slope
        for (name, value), slope in zip(moving.items(), slopes, strict=True)
    }


def norm(direction: Mapping[str, Tensor]) -> float:
    """Euclidean length of a direction in parameter space."""
    return float(torch.sqrt(sum((value.double().square().sum() for value in direction.values()), torch.tensor(0.0))))
