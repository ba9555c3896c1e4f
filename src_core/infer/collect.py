"""What was scored becomes one generation of scores."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from src_core.infer.held_out import compare_with_reviewed
from src_core.messages import Message
from src_core.train.heap import give_back

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from src_core.data.scores import ImageScore, Region
    from src_core.store.project import Project
    from src_core.store.runs import Run
    from src_core.store.score_update import ScoreUpdate
    from src_core.train.control import Control


class ScoredCase(NamedTuple):
    """All that is written of one image or volume; ``position`` is its place among them."""

    position: int
    case_id: int
    maps: dict[str, NDArray[Any]]
    held_out: str
    regions: list[Region]
    quality: ImageScore


class InParts(Protocol):
    """Scores of images that are too large to be scored whole, written as they are made.

    Attributes
    ----------
    count : int
        Parts of all these images.
    regions : list of Region
    images : list of ImageScore
    """

    count: int
    regions: list[Region]
    images: list[ImageScore]

    def steps(self) -> Iterator[None]:
        """Score one part after the other; the results of an image are there after its last one."""


def collect(
    project: Project,
    run: Run,
    writer: ScoreUpdate,
    scored: Iterable[ScoredCase],
    count: int,
    *,
    listener: Callable[[Message], None],
    control: Control | None = None,
    large: Sequence[InParts] = (),
) -> int:
    """Write what was scored, in whatever order it comes, as one generation.

    Parameters
    ----------
    project : Project
    run : Run
        Held by the caller.
    writer : ScoreUpdate
        Of this run.
    scored : iterable of ScoredCase
        One for each image and volume; made while it is asked for.
    count : int
    listener, control
        As in :func:`~src_core.infer.score.score_run`.
    large : sequence of InParts, optional
        :meth:`~src_core.infer.score.RunScorer.large`.

    Returns
    -------
    int
        Generation of the scores; 0 if it was stopped.
    """
    found: dict[int, tuple[list[Region], ImageScore]] = {}
    total = count + sum(each.count for each in large)
    steps: Iterator[ScoredCase | None] = chain(scored, *(each.steps() for each in large))
    for done in range(1, total + 1):
        if control is not None and control.stopping:
            writer.abandon()
            return 0
        case = next(steps)
        if case is not None:
            writer.write(case.case_id, case.maps, held_out=case.held_out)
            found[case.position] = case.regions, case.quality
        else:
            give_back()
        listener(Message("scoring", {"done": done, "total": total}))
    inorder = [found[position] for position in range(count)]
    regions = [region for some, _ in inorder for region in some] + [row for each in large for row in each.regions]
    images = [quality for _, quality in inorder] + [row for each in large for row in each.images]
    generation = writer.finish(images, regions)
    compare_with_reviewed(project, run)
    listener(Message("scored", {"generation": generation, "regions": len(regions) + len(writer.regions)}))
    return generation
