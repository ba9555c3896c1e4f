"""Score maps of every image with a trained run, and what follows from them: suspect regions, ranked images.

A volume is scored as it was learned, slice by slice or window by window, and always has maps and regions of its own
three axes. No more than one volume's maps are in memory at a time; of a large one some slices of them
(:mod:`~src_core.infer.score_volumes`).

Shape suffixes: C classes, K maps, X space axes at working resolution; the maps that are written have the size of the
image.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import fields
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from src_core.config import TrainingSettings
from src_core.data.case import IGNORE, is_verified
from src_core.infer.collect import InParts, ScoredCase, collect
from src_core.infer.held_out import HeldOut
from src_core.infer.maps import Maps, Opinion
from src_core.infer.score_tiles import TiledScoring
from src_core.infer.score_volumes import VolumeScoring
from src_core.meta.judge import Scale, levels_of
from src_core.meta.weights import log_posterior, pixel_weights, probability_of
from src_core.review.regions import find_regions, image_score
from src_core.store.project import Project
from src_core.store.run_files import held
from src_core.store.score_update import ScoreUpdate, to_keep
from src_core.train import checkpoint
from src_core.train.cases import WorkCase, grouped
from src_core.train.device import choose_device
from src_core.train.learner import Learner
from src_core.train.views import teacher_prediction
from src_core.train.volume_parts import is_large
from src_core.train.windows import covering, in_windows
from src_core.train.working import slabs

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from src_core.infer.maps import Place
    from src_core.messages import Message
    from src_core.meta.judge import Levels
    from src_core.store.runs import Run, ScoreWriter
    from src_core.train.cases import WorkCase
    from src_core.train.control import Control

ZOOMS = (0.85, 1.2)
MAX_CENTER_CASES = 64
QUICK_CENTER_CASES = 16
MAX_CENTER_WINDOWS = 4


class Seen(NamedTuple):
    """What a case, or a window of it, tells of centers and scale."""

    totals_R: Tensor
    sums_RD: Tensor
    levels: Levels


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
    known : int, optional
        So many of the cases, the first ones, are those that it was trained among, and tell of the centers: what was
        added later changes no score of theirs.
    """

    def __init__(
        self, learner: Learner, cases: list[WorkCase], *, quick: bool = False, known: int | None = None
    ) -> None:
        self.learner = learner
        self.cases = cases
        learner.teacher.eval()
        self._zooms = ZOOMS if learner.spatial_dims == 2 and not quick else ()
        told_by = cases[:known]
        self._shown = told_by[:: max(1, len(told_by) // (QUICK_CENTER_CASES if quick else MAX_CENTER_CASES))]
        self._scale: Scale | None = None
        uses_evidence = learner.settings.method == "metadcseg"
        self.evidence_scale = learner.weigher.evidence_scale if uses_evidence else 0.0

    @property
    def scale(self) -> Scale:
        """Where the teacher's log-odds lie; found with the centers."""
        self.begin()
        assert self._scale is not None
        return self._scale

    def begin(self) -> None:
        """Find centers and scale, unless they are there."""
        if not self.settled:
            self.settle(self.look())

    @property
    def settled(self) -> bool:
        """True when centers and scale are there."""
        return self._scale is not None

    def look(self, share: int = 0, shares: int = 1) -> list[Seen]:
        """What cases tell of centers and scale: all that are looked at, or one of so many shares of them, in order."""
        found, centers = [], self.learner.centers
        first, last = (len(self._shown) * at // shares for at in (share, share + 1))
        for case in self._shown[first:last]:
            for window in covering(case.shape, self.learner.window)[:MAX_CENTER_WINDOWS]:
                image = case.image_IX[(None, slice(None), *window)].to(self.learner.device)
                teacher_1CX, features_1DX = teacher_prediction(self.learner.teacher, image)
                totals_R, sums_RD = centers.seen(features_1DX, teacher_1CX, torch.ones_like(teacher_1CX[:, 0]))
                levels = levels_of(teacher_1CX[0].cpu().numpy(), case.given_X.numpy()[window])
                found.append(Seen(totals_R.cpu(), sums_RD.cpu(), levels))
        return found

    def settle(self, seen: Sequence[Seen]) -> None:
        """Find centers and scale anew from what was seen of all cases, in their order."""
        centers = self.learner.centers
        centers.forget()
        for each in seen:
            centers.move(each.totals_R.to(self.learner.device), each.sums_RD.to(self.learner.device))
        self._scale = Scale.of_levels([each.levels for each in seen])

    def maps(self, members: Sequence[int], label: NDArray[np.uint8], verified: NDArray[np.uint8]) -> Maps:
        """Score one image or volume.

        Parameters
        ----------
        members : sequence of int
            Position of its case in the working set, or of the cases that are its slices.
        label, verified : array, uint8, (H, W) or (Z, H, W)
            Current label and how it was verified, at the image's own size.
        """
        case = self.cases[members[0]]
        edge = label.shape[case.across]
        return self.part(members, slice(0, edge), label, verified, self.known(members), label.shape)

    def known(self, members: Sequence[int]) -> Opinion | None:
        """What is known of a case at working resolution; None where its slices are cases, asked one by one."""
        self.begin()
        return None if self.cases[members[0]].at is not None else self._opinion(members[0])

    def part(
        self,
        members: Sequence[int],
        span: slice,
        label: NDArray[np.uint8],
        verified: NDArray[np.uint8],
        known: Opinion | None,
        size: tuple[int, ...],
    ) -> Maps:
        """Score some slices of a volume, or some rows of an image.

        Parameters
        ----------
        members : sequence of int
            As of :meth:`maps`, of all of it.
        span : slice
        label, verified : array, uint8
            Of these slices.
        known : Opinion or None
            As of :meth:`known`.
        size : tuple of int
            Sides of all of it.
        """
        self.begin()
        found = Maps.empty(label.shape)
        if known is not None:
            for rows in slabs(size, span):
                inside = slice(rows.start - span.start, rows.stop - span.start)
                part = self.at_full_size(known.at_size(size, rows), label[inside], verified[inside])
                found.fill((), inside, part)
            return found
        axis = self.cases[members[0]].across
        for at, index in enumerate(members[span]):
            place: Place = (slice(None),) * axis + (at,)
            sides = label[place].shape
            rows, opinion = slice(0, sides[0]), self._opinion(index)
            part = self.at_full_size(opinion.at_size(sides, rows), label[place], verified[place])
            found.fill(place, rows, part)
        return found

    def _opinion(self, index: int) -> Opinion:
        learner, case = self.learner, self.cases[index]
        image_1IX = case.image_IX[None].to(learner.device)
        looked_1KX = in_windows(self.ask, image_1IX, learner.window)
        evidence_1CX = learner.weigher.memory.read(index)[None].to(learner.device)
        return Opinion(self.prior(looked_1KX[:, :-1], case), evidence_1CX, looked_1KX[:, -1:])

    def ask(self, image_1IX: Tensor, *, sparing: bool = False) -> Tensor:
        """The teacher's opinion, and the uncertainty as the last map; centers must be there."""
        teacher_1CX, features_1DX = teacher_prediction(
            self.learner.teacher, image_1IX, zooms=self._zooms, sparing=sparing
        )
        return torch.cat([teacher_1CX, self.learner.centers.uncertainty(features_1DX, teacher_1CX)[:, None]], dim=1)

    def prior(self, teacher_1CX: Tensor, case: WorkCase) -> Tensor:
        """Probability of every class before the evidence: the teacher's opinion, or with a judge the judge's of it."""
        return self.prior_of(teacher_1CX, case.given_X.numpy())

    def prior_of(self, teacher_1CX: Tensor, given_X: NDArray[np.uint8]) -> Tensor:
        """The same for an image that is no case, or a part of one, with its given labels."""
        judge = self.learner.judge
        if judge is None:
            return teacher_1CX
        judged = judge.posterior(teacher_1CX[0].cpu().numpy(), given_X, self.scale)
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
    everything: bool = False,
    listener: Callable[[Message], None],
    control: Control | None = None,
) -> int:
    """Score every image of a project into ``runs/RUN/scores.zarr`` and rank images and regions.

    The scores before stay in place until the new ones are complete. Where images were added since this very model
    scored the others, only those are scored; otherwise all are, against the labels of now.

    Parameters
    ----------
    project_path : path
    run_name : str or None
        None takes the newest run.
    device, threads
        As in the settings.
    quick : bool
        As in :class:`Scorer`.
    everything : bool
        Score all images anew, also where some have none yet.
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
        made_by = model_of(run, quick=quick)
        kept = frozenset() if everything else to_keep(run, made_by, project.cases)
        scorer = RunScorer(project, run, device=device, quick=quick, kept=kept)
        update = ScoreUpdate(run, made_by, kept)
        scored = (scorer.score(project, position) for position in range(scorer.count))
        return collect(
            project,
            run,
            update,
            scored,
            scorer.count,
            listener=listener,
            control=control,
            large=scorer.large(project, update),
        )


def model_of(run: Run, *, quick: bool = False) -> dict[str, int | bool]:
    """What tells the model of a run at this moment from what it was before, for :class:`ScoreUpdate`."""
    header = checkpoint.read_header(run.path)
    return {"epoch": int(header["epoch"]), "steps": int(header["steps"]), "quick": quick}


class RunScorer:
    """A trained run, read once and then asked image by image, in any order and anywhere.

    Parameters
    ----------
    project : Project
    run : Run
    device : str
        As in the settings.
    quick : bool
        As in :class:`Scorer`.
    kept : collection of int
        Ids of images that are not to be scored.

    Attributes
    ----------
    data : WorkingSet
    count : int
        Images and volumes there are to score, but those that are scored in parts.
    """

    def __init__(
        self, project: Project, run: Run, *, device: str, quick: bool = False, kept: Collection[int] = ()
    ) -> None:
        header = checkpoint.read_header(run.path)
        settings = TrainingSettings.from_mapping(header["settings"])
        self.data = data = checkpoint.working_set(project, header)
        learner = Learner(settings, data, choose_device(device))
        checkpoint.load(learner, run.path)
        self.scorer = Scorer(learner, data.cases, quick=quick, known=data.known)
        self._held_out = HeldOut(learner, checkpoint.learned_cases(header))
        self._kept = frozenset(kept)
        whole = (i for i, case in enumerate(data.cases) if case.tile is None and case.info.id not in self._kept)
        volumes = grouped(whole, data.groups)
        self._volumes = [members for members in volumes if not is_large(data.cases[members[0]].info.shape)]
        self._large = [members for members in volumes if is_large(data.cases[members[0]].info.shape)]
        self.count = len(self._volumes)

    def large(self, project: Project, writer: ScoreWriter) -> tuple[InParts, ...]:
        """The scoring of large volumes, and of images that are cut into tiles, which are written as they are made."""
        self.scorer.begin()
        volumes = VolumeScoring(project, self.scorer, writer, self._held_out, self._large)
        return volumes, TiledScoring(project, self.scorer, self.data, writer, self._kept)

    def score(self, project: Project, position: int) -> ScoredCase:
        """Score one image or volume against its labels of this moment."""
        members = self._volumes[position]
        row = project.version()[1]
        info = self.scorer.cases[members[0]].info
        label, verified = project.read_labels(info)
        maps = self.scorer.maps(members, label, verified)
        shown: dict[str, Any] = {"trust": maps.trust, "label": label, "proposed": maps.proposed, "verified": verified}
        regions, numbers = find_regions(info, uncertainty=maps.uncertainty, **shown)
        by, unlearned = self._held_out.maps(members)
        written = {field.name: getattr(maps, field.name) for field in fields(maps)}
        quality = image_score(info, numbers=numbers, row=row, **shown)
        return ScoredCase(position, info.id, {**unlearned, **written, "regions": numbers}, by, regions, quality)
