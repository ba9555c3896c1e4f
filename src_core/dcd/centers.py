"""Dynamic Center Distance: how far a pixel's features are from the centers of the classes and of the boundary.

The published description names three centers, weighted distances, a threshold and a temperature; the formulas
are our reading of it (docs/method.md). For two classes the uncertainty is ``1 - |q_fg - q_bg|``.

With more classes every pair of them has a boundary of its own, up to 6 classes; beyond that all share one.

Shape suffixes: B batch, C classes, P pairs of classes, R = C + P regions (the classes, then the boundaries), D feature
channels, X any number of space axes (2 or 3).
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

    from src_core.config import TrainingSettings

MAX_PAIRED_CLASSES = 6
"""With more classes than this there are too many pairs, most of which never touch."""


def entropy(probabilities_BCX: Tensor) -> Tensor:
    """Entropy of each pixel divided by ``log C``, ``(B, X)`` in [0, 1]."""
    terms: Tensor = torch.special.entr(probabilities_BCX.clamp(0, 1)).sum(1)
    return (terms / math.log(probabilities_BCX.shape[1])).clamp(0, 1)


class Centers:
    """One center a class and one a boundary between two classes, running means of unit feature vectors.

    Parameters
    ----------
    classes, channels : int
    settings : TrainingSettings
        ``dcd_threshold`` and ``dcd_softness`` of the entropy that fragments an image into sure and boundary
        pixels, ``dcd_momentum`` and ``dcd_temperature``.

    Attributes
    ----------
    pairs : tuple of (int, int)
        The classes on either side of each boundary; empty where all boundaries share one center.
    values_RD : Tensor, float32
        Unit vectors; 0 for a center that was never seen.
    counts_R : Tensor, int64
        How often a center was moved; 0 for one that was never seen.
    """

    min_mass = 16.0

    def __init__(self, classes: int, channels: int, settings: TrainingSettings) -> None:
        self.classes = classes
        self.pairs = tuple(combinations(range(classes), 2)) if classes <= MAX_PAIRED_CLASSES else ()
        regions = classes + max(len(self.pairs), 1)
        self.values_RD = torch.zeros(regions, channels)
        self.counts_R = torch.zeros(regions, dtype=torch.int64)
        self._settings = settings

    @property
    def known_R(self) -> Tensor:
        """True for the centers that were seen; of the boundaries, for the ``2 C`` that were seen most often."""
        known_R = self.counts_R > 0
        most = 2 * self.classes
        boundaries = self.counts_R[self.classes :]
        if len(boundaries) > most:
            rarer = boundaries.argsort(descending=True, stable=True)[most:]
            known_R[self.classes + rarer] = False
        return known_R

    def to(self, device: torch.device) -> Centers:
        """Move the centers to a device, in place."""
        self.values_RD, self.counts_R = self.values_RD.to(device), self.counts_R.to(device)
        return self

    def forget(self) -> None:
        """Start anew, as when the features of another network are looked at."""
        self.values_RD = torch.zeros_like(self.values_RD)
        self.counts_R = torch.zeros_like(self.counts_R)

    def fragments(self, teacher_BCX: Tensor) -> Tensor:
        """Soft membership in the regions, ``(B, R, X)``, sums to 1 over R.

        An uncertain pixel belongs to the boundary between its two likeliest classes.
        """
        s = self._settings
        boundary_BX = torch.sigmoid((entropy(teacher_BCX) - s.dcd_threshold) / s.dcd_softness)
        sure_BCX = (1 - boundary_BX).unsqueeze(1) * teacher_BCX
        if len(self.pairs) <= 1:
            return torch.cat([sure_BCX, boundary_BX.unsqueeze(1)], dim=1)
        low_BX, high_BX = teacher_BCX.topk(2, dim=1).indices.sort(dim=1).values.unbind(1)
        between = [boundary_BX * ((low_BX == low) & (high_BX == high)) for low, high in self.pairs]
        return torch.cat([sure_BCX, torch.stack(between, dim=1)], dim=1)

    @torch.no_grad()
    def update(self, features_BDX: Tensor, teacher_BCX: Tensor, trust_BX: Tensor) -> None:
        """Move each center towards the trust-weighted mean of its region's features.

        A region with less than 16 px of weight leaves its center as it is. The first means count evenly, later ones
        with ``1 - dcd_momentum``.
        """
        self.move(*self.seen(features_BDX, teacher_BCX, trust_BX))

    @torch.no_grad()
    def seen(self, features_BDX: Tensor, teacher_BCX: Tensor, trust_BX: Tensor) -> tuple[Tensor, Tensor]:
        """What :meth:`move` needs of a batch: weights, ``(R,)``, and weighted sums of features, ``(R, D)``."""
        unit_BDX = functional.normalize(features_BDX, dim=1)
        mass_BRX = self.fragments(teacher_BCX) * trust_BX.unsqueeze(1)
        totals_R = mass_BRX.flatten(2).sum((0, 2))
        sums_RD = torch.einsum("brx,bdx->rd", mass_BRX.flatten(2), unit_BDX.flatten(2))
        return totals_R, sums_RD

    @torch.no_grad()
    def move(self, totals_R: Tensor, sums_RD: Tensor) -> None:
        """Move each center by what was seen of a batch; see :meth:`update`."""
        means_RD = sums_RD / totals_R.clamp_min(1e-6).unsqueeze(1)
        for region in range(len(totals_R)):
            if totals_R[region] < self.min_mass or not torch.isfinite(means_RD[region]).all():
                continue
            rate = max(1 - self._settings.dcd_momentum, 1 / (int(self.counts_R[region]) + 1))
            moved = (1 - rate) * self.values_RD[region] + rate * functional.normalize(means_RD[region], dim=0)
            self.values_RD[region] = functional.normalize(moved, dim=0)
            self.counts_R[region] += 1

    def spread(self) -> Tensor:
        """Mean cosine distance between the known class centers: the unit that distances are measured in."""
        centers_RD = self.values_RD[: self.classes][self.known_R[: self.classes]]
        distances = 1 - centers_RD @ centers_RD.T
        pairs = max(len(centers_RD) * (len(centers_RD) - 1), 1)
        return (distances.sum() / pairs).clamp_min(1e-3)

    def memberships(self, features_BDX: Tensor) -> Tensor:
        """Softmax over the known centers of minus distance over temperature, ``(B, R, X)``, sums to 1.

        Distances are cosine distances in units of :meth:`spread`, so that the temperature means the same early in
        training, when all features are alike, and late.
        """
        unit_BDX = functional.normalize(features_BDX, dim=1)
        distance_BRX = 1 - torch.einsum("bd...,rd->br...", unit_BDX, self.values_RD)
        scores = -distance_BRX / (self._settings.dcd_temperature * self.spread())
        return scores.masked_fill(~self.known_R.view(1, -1, *[1] * (scores.ndim - 2)), -torch.inf).softmax(1)

    @torch.no_grad()
    def uncertainty(self, features_BDX: Tensor, teacher_BCX: Tensor) -> Tensor:
        """One minus the gap between the two largest class memberships, ``(B, X)`` in [0, 1].

        0 at the center of a class; 1 at the boundary center and wherever two classes are equally near. Until two
        classes have a center it is the teacher's entropy.
        """
        if int(self.known_R[: self.classes].sum()) < 2:
            return entropy(teacher_BCX)
        best = self.memberships(features_BDX)[:, : self.classes].topk(2, dim=1).values
        return (1 - (best[:, 0] - best[:, 1])).clamp(0, 1)


def pixel_emphasis(uncertainty_BX: Tensor, floor: float) -> Tensor:
    """Weight of each pixel in the loss, ``floor + (1 - floor) u``, mean 1 in each image."""
    emphasis = floor + (1 - floor) * uncertainty_BX
    return emphasis / emphasis.flatten(1).mean(1).view(-1, *[1] * (emphasis.ndim - 1)).clamp_min(1e-6)
