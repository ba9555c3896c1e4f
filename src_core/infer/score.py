"""Score maps of every image with a trained run, and what follows from them: suspect regions, ranked images.

A volume is scored as it was learned, slice by slice or window by window, and always has maps and regions of its own
three axes. No more than one volume's maps are in memory at a time.

Shape suffixes: C classes, K maps, X space axes at working resolution; the maps that are written have the size of the
image.
"""

from __future__ import annotations

from contextlib import ExitStack
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from src_core.config import TrainingSettings
from src_core.data.case import IGNORE, is_verified
from src_core.data.slices import slice_axis
from src_core.infer.held_out import HeldOut, compare_with_reviewed
from src_core.infer.maps import Maps, Opinion
from src_core.infer.score_tiles import TiledScoring
from src_core.messages import Message
from src_core.meta.judge import Scale
from src_core.meta.weights import log_posterior, pixel_weights, probability_of
from src_core.review.regions import find_regions, image_score
from src_core.store.project import Project
from src_core.store.run_files import held
from src_core.store.runs import ScoreWriter
from src_core.train import checkpoint
from src_core.train.cases import WorkCase, grouped
from src_core.train.device import choose_device
from src_core.train.learner import Learner
from src_core.train.views import teacher_prediction
from src_core.train.windows import covering, in_windows
from src_core.train.working import slabs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from src_core.data.scores import ImageScore, Region
    from src_core.infer.maps import Place
    from src_core.train.control import Control

ZOOMS = (0.85, 1.2)
MAX_CENTER_CASES = 64
QUICK_CENTER_CASES = 16
MAX_CENTER_WINDOWS = 4


class Scorer:
    """The teacher of a run with its evidence memory and centers, ready to score.

    Parameters
    ----------
    learner : Learner
        Restored from the run's checkpoint.
    cases : list of WorkCase
        The centers are found anew in the features of the finished teacher, from up to 64 of these.
    quick : bool
        Fewer views of an image, and centers from fewer cases: half of the time, for a look while training goes on.
    """

    def __init__(self, learner: Learner, cases: list[WorkCase], *, quick: bool = False) -> None:
        self.learner = learner
        self.cases = cases
        learner.teacher.eval()
        self._zooms = ZOOMS if learner.spatial_dims == 2 and not quick else ()
        self._find_centers(cases[:: max(1, len(cases) // (QUICK_CENTER_CASES if quick else MAX_CENTER_CASES))])
        uses_evidence = learner.settings.method == "metadcseg"
        self.evidence_scale = learner.weigher.evidence_scale if uses_evidence else 0.0

    def _find_centers(self, cases: list[WorkCase]) -> None:
        centers, opinions, given = self.learner.centers, [], []
        centers.forget()
        for case in cases:
            for window in covering(case.shape, self.learner.window)[:MAX_CENTER_WINDOWS]:
                image = case.image_IX[(None, slice(None), *window)].to(self.learner.device)
                teacher_1CX, features_1DX = teacher_prediction(self.learner.teacher, image)
                centers.update(features_1DX, teacher_1CX, torch.ones_like(teacher_1CX[:, 0]))
                opinions.append(teacher_1CX[0].cpu().numpy())
                given.append(case.given_X.numpy()[window])
        self._scale = Scale.of(opinions, given)

    def maps(self, members: Sequence[int], label: NDArray[np.uint8], verified: NDArray[np.uint8]) -> Maps:
        """Score one image or volume.

        Parameters
        ----------
        members : sequence of int
            Position of its case in the working set, or of the cases that are its slices.
        label, verified : array, uint8, (H, W) or (Z, H, W)
            Current label and how it was verified, at the image's own size.
        """
        found = Maps.empty(label.shape)
        for index in members:
            opinion, at = self._opinion(index), self.cases[index].at
            place: Place = () if at is None else (slice(None),) * slice_axis(self.cases[index].info) + (at,)
            size = label[place].shape
            for rows in slabs(size):
                part = self.at_full_size(opinion.at_size(size, rows), label[place][rows], verified[place][rows])
                found.fill(place, rows, part)
        return found

    def _opinion(self, index: int) -> Opinion:
        learner, case = self.learner, self.cases[index]
        image_1IX = case.image_IX[None].to(learner.device)
        looked_1KX = in_windows(self.look, image_1IX, learner.window)
        evidence_1CX = learner.weigher.memory.read(index)[None].to(learner.device)
        return Opinion(self.prior(looked_1KX[:, :-1], case), evidence_1CX, looked_1KX[:, -1:])

    def look(self, image_1IX: Tensor) -> Tensor:
        """The teacher's opinion, and the uncertainty as the last map."""
        teacher_1CX, features_1DX = teacher_prediction(self.learner.teacher, image_1IX, zooms=self._zooms)
        return torch.cat([teacher_1CX, self.learner.centers.uncertainty(features_1DX, teacher_1CX)[:, None]], dim=1)

    def prior(self, teacher_1CX: Tensor, case: WorkCase) -> Tensor:
        """Probability of every class before the evidence: the teacher's opinion, or with a judge the judge's of it."""
        return self.prior_of(teacher_1CX, case.given_X.numpy())

    def prior_of(self, teacher_1CX: Tensor, given_X: NDArray[np.uint8]) -> Tensor:
        """The same for an image that is no case, or a part of one, with its given labels."""
        judge = self.learner.judge
        if judge is None:
            return teacher_1CX
        judged = judge.posterior(teacher_1CX[0].cpu().numpy(), given_X, self._scale)
        return torch.from_numpy(judged)[None].to(teacher_1CX.device)

    def at_full_size(self, opinion: Opinion, label: NDArray[np.uint8], verified: NDArray[np.uint8]) -> Maps:
        """Maps of what is known at full size, with label and how it was verified."""
        prior, evidence, uncertainty = opinion
        scales = {"evidence_scale": self.evidence_scale, "prior_scale": self.learner.settings.prior_scale}
        candidates = torch.from_numpy(label.astype(np.int64))[None].to(prior.device)
        weights = pixel_weights(prior, evidence, candidates, **scales)
        posterior = log_posterior(prior, evidence, **scales).softmax(1)
        believed = _array(probability_of(posterior, candidates))
        if self.learner.trust_scale is not None:
            believed = np.where(label == IGNORE, 0.0, self.learner.trust_scale(believed))
        decided = is_verified(verified) & (label != IGNORE)
        return Maps(
            trust=np.where(decided, 1.0, believed).astype(np.float32),
            alpha=np.where(decided, 1.0, _array(weights.alpha)).astype(np.float32),
            beta=np.where(decided, 0.0, _array(weights.beta)).astype(np.float32),
            uncertainty=_array(uncertainty)[0].astype(np.float32),
            proposed=np.where(decided, label, _array(posterior.argmax(1))).astype(np.uint8),
        )


def _array(values: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = values[0].cpu().numpy()
    return array


def score_run(
    project_path: str | Path,
    run_name: str | None,
    *,
    device: str = "auto",
    threads: int = 0,
    quick: bool = False,
    listener: Callable[[Message], None],
    control: Control | None = None,
) -> int:
    """Score every image of a project into ``runs/RUN/scores.zarr`` and rank images and regions.

    The scores before stay in place until the new ones are complete.

    Parameters
    ----------
    project_path : path
    run_name : str or None
        None takes the newest run.
    device, threads
        As in the settings.
    quick : bool
        As in :class:`Scorer`.
    listener : callable
        Gets ``scoring`` and ``scored`` messages.
    control : Control, optional
        A stop leaves the old scores as they are.

    Returns
    -------
    int
        Generation of the scores; 0 if it was stopped.
    """
    if threads:
        torch.set_num_threads(threads)
    with Project.open(project_path) as project, ExitStack() as stack:
        run = project.run(run_name, scored=False, trained=True)
        stack.enter_context(held(run.path, "be scored"))
        header = checkpoint.read_header(run.path)
        settings = TrainingSettings.from_mapping(header["settings"])
        data = checkpoint.working_set(project, header)
        learner = Learner(settings, data, choose_device(device))
        checkpoint.load(learner, run.path)
        writer = ScoreWriter(run.path, run.name)
        images: list[ImageScore] = []
        regions: list[Region] = []
        scorer = Scorer(learner, data.cases, quick=quick)
        held_out = HeldOut(learner, checkpoint.learned_cases(header))
        volumes = grouped((i for i, case in enumerate(data.cases) if case.tile is None), data.groups)
        large = TiledScoring(project, scorer, data, writer)
        done, total = 0, len(volumes) + large.tiles
        for members in chain(volumes, large.steps()):
            if control is not None and control.stopping:
                writer.abandon()
                return 0
            if members:
                found, quality = _score_case(project, scorer, held_out, members, writer)
                regions += found
                images.append(quality)
            done += 1
            listener(Message("scoring", {"done": done, "total": total}))
        regions += large.regions
        images += large.images
        generation = writer.finish(images, regions)
        compare_with_reviewed(project, run)
        listener(Message("scored", {"generation": generation, "regions": len(regions)}))
        return generation


def _score_case(
    project: Project, scorer: Scorer, held_out: HeldOut, members: Sequence[int], writer: ScoreWriter
) -> tuple[list[Region], ImageScore]:
    row = project.version()[1]
    info = scorer.cases[members[0]].info
    label, verified = project.read_labels(info)
    maps = scorer.maps(members, label, verified)
    regions, numbers = find_regions(
        info,
        trust=maps.trust,
        uncertainty=maps.uncertainty,
        label=label,
        proposed=maps.proposed,
        verified=verified,
    )
    by, unlearned = held_out.maps(members)
    writer.write(
        info.id,
        {
            **unlearned,
            "trust": maps.trust,
            "alpha": maps.alpha,
            "beta": maps.beta,
            "uncertainty": maps.uncertainty,
            "proposed": maps.proposed,
            "regions": numbers,
        },
        held_out=by,
    )
    quality = image_score(
        info,
        trust=maps.trust,
        label=label,
        proposed=maps.proposed,
        verified=verified,
        numbers=numbers,
        row=row,
    )
    return regions, quality
