"""The verified gradient guides that of the given labels: it may not be undone, and it weighs them as a whole.

The meta weight of a pixel is noisy, as it comes from a few verified crops; the same question about all given labels of
a batch together has a sharp answer. The derivative of the verified loss with respect to one weight on all of them is
minus the scalar product of the two gradients, so the weight follows their cosine: it stays at 1 as long as the given
labels help on verified pixels, and falls where they share an error. Besides, the part of their gradient that points
against the verified one is removed, as in gradient surgery for multi-task learning (Yu et al. 2020) and averaged
episodic memory (Chaudhry et al. 2019). One weight for all labels, learned along the run, is ours; the paper weighs
pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

RATE = 6.0
"""The weight moves by this times the mean cosine over a run. Twice of it was as good on development cases."""

FLOOR = 0.1
"""Least weight of the given labels."""

TINY = 1e-20


class Guided(NamedTuple):
    """A gradient to step along, and what it was made from.

    Attributes
    ----------
    gradient : dict of name to Tensor
    cosine : float
        Of the angle between the two gradients, in [-1, 1]; 0 if either vanishes.
    """

    gradient: dict[str, Tensor]
    cosine: float


@torch.no_grad()
def guided(
    given: Mapping[str, Tensor], verified: Mapping[str, Tensor], *, weight: float, verified_weight: float
) -> Guided:
    """Sum of two gradients, without what of the first points against the second.

    Parameters
    ----------
    given, verified : mapping of name to Tensor
        Gradients of the loss on given labels and of that on verified ones, by parameter.
    weight, verified_weight : float
        Weights of the two.

    Returns
    -------
    Guided
        Its gradient's product with ``verified`` is at least ``verified_weight`` times the square of that.
    """
    product, ours, theirs = (
        float(sum((a[name] * b[name]).sum() for name in given))
        for a, b in ((given, verified), (given, given), (verified, verified))
    )
    against = min(product / max(theirs, TINY), 0.0)
    total = {
        name: (weight * given[name] + (verified_weight - weight * against) * verified[name]).contiguous()
        for name in given
    }
    return Guided(total, product / max(ours * theirs, TINY) ** 0.5)


def moved(weight: float, cosine: float, steps: int) -> float:
    """The weight of the given labels after a step of a run that takes so many steps, in [0.1, 1].

    A cosine that is no number moves nothing.
    """
    if cosine != cosine:
        return weight
    return min(max(weight + RATE * cosine / steps, FLOOR), 1.0)
