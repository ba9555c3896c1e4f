"""What a second rater is shown: a sample of decided regions, and decoys among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from src_core.data.case import around
from src_core.data.scores import UNLABELLED
from src_core.errors import InputError, ProjectDamagedError
from src_core.review.decoys import make_pieces
from src_core.review.regions import region_id
from src_core.store.journal import DECISIONS, Action, Patch
from src_core.store.masks import common
from src_core.store.samples import Item, Sample

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from src_core.data.scores import Region
    from src_core.review.decoys import Piece
    from src_core.store.journal import Record
    from src_core.store.project import Project

PURPOSE = "second rater"
REAL, GOOD, BAD = "real", "known good", "known bad"
"""Kinds of items: a decided region; a right label with a wrong proposal; a wrong label with the right proposal."""

COMPARED = frozenset({Action.ACCEPT, Action.KEEP, Action.CONFIRM})
"""First answers that a second one can be compared with."""


@dataclass(frozen=True)
class Drawn:
    """What was drawn.

    Attributes
    ----------
    sample : int
        Its id.
    real, decoys : int
        Items of each sort.
    wanted : int
        Decoys that were asked for; fewer can be made where little is verified.
    """

    sample: int
    real: int
    decoys: int
    wanted: int


def draw(
    project: Project,
    author: str,
    *,
    share: float = 0.1,
    decoys: float = 0.2,
    seed: int = 0,
    same_person: bool = False,
) -> Drawn:
    """Draw and store what a second rater is shown.

    Parameters
    ----------
    project : Project
        Open for writing.
    author : str
        The second rater.
    share : float
        Of the decided regions, in (0, 1].
    decoys : float
        Share of decoys among all that is shown, in [0, 0.5]; half of them have a right label and half a wrong one.
    seed : int
    same_person : bool
        True lets a person judge their own decisions anew.

    Raises
    ------
    InputError
        If a value is out of its range, or nothing can be drawn.
    """
    _check(share, decoys)
    decided = _decided(project.history()[::-1])
    if not decided:
        raise InputError(
            f"No region of project {project.name} was decided yet, so there is nothing for a second rater; review some "
            "regions first."
        )
    others = decided if same_person else [record for record in decided if record.author != author]
    if not others:
        raise InputError(
            f"All decisions are by {author}, who cannot be their own second rater; let another person do it, or ask "
            "for the same person to see how far they agree with themselves."
        )
    rng = np.random.default_rng(seed)
    items = _real_items(project, _stratified(others, share, rng))
    if not items:
        raise InputError(
            "None of the decided regions that were drawn can be shown again, since their run was scored anew; draw a "
            "larger share."
        )
    wanted = round(len(items) * decoys / (1 - decoys))
    taken = [(item.case_id, item.box, item.arrays()[0]) for item in items]
    pieces = make_pieces(project, wanted, [int(mask.sum()) for _, _, mask in taken], taken, rng)
    made = _decoy_items(project, pieces, rng)
    mixed = [*items, *made]
    order = rng.permutation(len(mixed)).tolist()
    shown = [_numbered(mixed[place], number) for number, place in enumerate(order)]
    settings = {"share": share, "decoys": decoys, "same_person": same_person}
    sample = Sample(author=author, purpose=PURPOSE, run=others[-1].run, seed=seed, settings=settings)
    return Drawn(project.samples.add(sample, shown), len(items), len(made), wanted)


def _check(share: float, decoys: float) -> None:
    if not 0 < share <= 1:
        raise InputError(f"The share to be judged again is {share:g}, expected more than 0 and at most 1.")
    if not 0 <= decoys <= 0.5:
        raise InputError(f"The share of decoys is {decoys:g}, expected a number from 0 to 0.5.")


def _decided(records: Iterable[Record]) -> list[Record]:
    """The decision that holds on each region, where it can be compared; oldest first."""
    last: dict[str, Record] = {}
    rows = list(records)
    turned_back: set[int | None] = set()
    for record in rows:
        if record.action == Action.UNDO:
            turned_back.add(record.target)
        elif record.action == Action.REDO:
            turned_back.discard(record.target)
    for record in rows:
        if record.region and record.action in DECISIONS and record.id not in turned_back:
            last.pop(record.region, None)
            last[record.region] = record
    compared = (record for record in last.values() if record.action in COMPARED and "proposed" in record.scores)
    return [record for record in compared if record.scores.get("kind") != UNLABELLED]


def _stratified(records: Sequence[Record], share: float, rng: np.random.Generator) -> list[Record]:
    """A share of the decisions, at equal distances through all in the order of kind and score from a random start.

    So every kind, and high and low scores of it, have their part, and each decision has the same chance.
    """
    ordered = sorted(records, key=lambda record: (record.action, record.scores.get("score", 0), record.id))
    count = max(1, round(share * len(ordered)))
    places = (np.arange(count) + rng.random()) * len(ordered) / count
    return [ordered[place] for place in places.astype(int).tolist()]


# ------------------------------------------------------------------ items


def _real_items(project: Project, records: Sequence[Record]) -> list[Item]:
    """Decided regions as they were shown to the first rater; those whose pixels are not known any more are left out."""
    wanted = {record.id for record in records}
    patches: dict[int, list[tuple[Patch, Patch]]] = {}
    for case_id in {record.case_id for record in records}:
        for row, before, after in project.changes(project.case(case_id)):
            if row in wanted:
                patches.setdefault(row, []).append((before, after))
    regions = _regions(project, {record.run for record in records if record.run})
    return [
        item
        for record in records
        if (item := _real_item(project, record, *_joined(patches[record.id]), regions.get(record.region))) is not None
    ]


def _joined(parts: Sequence[tuple[Patch, Patch]]) -> tuple[Patch, Patch]:
    """Before and after of a row, whose parts have no pixel in common, as one patch each."""
    if len(parts) == 1:
        return parts[0]
    box = around([before.box for before, _ in parts])
    whole = tuple(Patch(box, np.zeros(box.shape, np.uint8), np.zeros(box.shape, np.uint8)) for _ in range(2))
    for pair in parts:
        for made, part in zip(whole, pair, strict=True):
            place = part.box.within(box)
            made.label[place], made.verified[place] = part.label, part.verified
    return whole[0], whole[1]


def _regions(project: Project, runs: set[str]) -> dict[str, tuple[str, Region]]:
    found = {}
    for run in project.runs():
        if run.name in runs and run.has_scores:
            found.update({region.id: (run.name, region) for region in run.regions()})
    return found


def _real_item(
    project: Project, record: Record, before: Patch, after: Patch, known: tuple[str, Region] | None
) -> Item | None:
    if known is not None:
        run, region = known
        box = region.box
        mask = project.run(run).read_map(record.case_id, "regions", box) == region.number
    elif record.action == Action.CONFIRM:
        return None  # what was painted reaches beyond the region
    else:
        box = after.box
        mask = (before.verified != after.verified) | (before.label != after.label)
    if not mask.any():
        return None
    label = project.read_label(project.case(record.case_id), box)
    given, proposed = int(record.scores["given"]), int(record.scores["proposed"])
    return Item(
        number=0,
        case_id=record.case_id,
        region=record.region,
        kind=REAL,
        box=box,
        mask=mask,
        label=np.where(mask, given, label).astype(np.uint8),
        proposed=np.where(mask, proposed, label).astype(np.uint8),
        facts={"row": record.id, "first": str(record.action), "first_author": record.author},
    )


def _decoy_items(project: Project, pieces: Sequence[Piece], rng: np.random.Generator) -> list[Item]:
    """Half of the pieces with the right label, half with the wrong one; an odd one is either."""
    good = (np.arange(len(pieces)) + int(rng.integers(2))) % 2 == 0
    return [_decoy(project, piece, bool(right)) for piece, right in zip(pieces, good, strict=True)]


def _decoy(project: Project, piece: Piece, right: bool) -> Item:
    label, proposed = (piece.right, piece.wrong) if right else (piece.wrong, piece.right)
    case = project.case(piece.case_id)
    return Item(
        number=0,
        case_id=piece.case_id,
        region=region_id(case.name, piece.box.slices, piece.mask, proposed),
        kind=GOOD if right else BAD,
        box=piece.box,
        mask=piece.mask,
        label=label,
        proposed=proposed,
    )


def _numbered(item: Item, number: int) -> Item:
    return Item(**{**vars(item), "number": number})


def first_result(project: Project, item: Item) -> NDArray[np.uint8]:
    """Labels of the box as the first rater left them.

    Raises
    ------
    ProjectDamagedError
        If their decision is not in the record.
    """
    _, label, proposed = item.arrays()
    first = item.facts["first"]
    if first != Action.CONFIRM:
        return proposed if first == Action.ACCEPT else label
    found, known = label.copy(), False
    for row, _, after in project.changes(project.case(item.case_id), item.box):
        if row == item.facts["row"]:  # in parts, where it is large; between them the label stayed as it was
            target, source = common(after.box, item.box)
            found[target], known = after.label[source], True
    if known:
        return found
    raise ProjectDamagedError(
        f"Decision {item.facts['row']} that a second rater was asked about is not in the record; restore project.db "
        "from a backup."
    )
