"""The figures of a report: plain, frozen, and the same in the page and in the JSON."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from src_core.report.sections import Section

SCHEMA = "metadcseg-report"
SCHEMA_VERSION = 1
"""Grows when a figure is removed or gets another meaning; figures may be added without that."""

Status = Literal["open", "partly", "verified"]


@dataclass(frozen=True, kw_only=True)
class ProjectFigures:
    """What the report is about.

    Attributes
    ----------
    name : str
    images, classes : int
        Background is a class.
    record : int
        Last row of the record that the report knows; what was done later is not in it.
    first, last : str or None
        Time of the first and last decision that holds; UTC, ISO 8601.
    """

    name: str
    images: int
    classes: int
    record: int
    first: str | None
    last: str | None


@dataclass(frozen=True, kw_only=True)
class Totals:
    """The sums.

    Attributes
    ----------
    images_verified, images_partly, images_open : int
        Images in which somebody vouches for every labelled pixel, for some, for none.
    images_trusted : int
        Images that came with a trusted mask.
    images_changed : int
    pixels, pixels_labelled, pixels_vouched : int
        All; those with a label now; those whose label somebody vouches for.
    pixels_changed : int
        Pixels whose label differs from the given one; ``share_changed`` of the labelled ones.
    decisions, strokes : int
        What a person decided, and how often they painted; what was turned back is left out.
    regions_decided : int
        Regions with an answer: accepted, kept, painted or unsure.
    regions_open : int or None
        Regions of the run that wait for one; None without scores.
    dice : float or None
        Mean over the images of the Dice between given and cleaned mask.
    """

    images_verified: int
    images_partly: int
    images_open: int
    images_trusted: int
    images_changed: int
    pixels: int
    pixels_labelled: int
    pixels_vouched: int
    share_vouched: float | None
    pixels_changed: int
    share_changed: float | None
    decisions: int
    strokes: int
    regions_decided: int
    regions_open: int | None
    dice: float | None


@dataclass(frozen=True, kw_only=True)
class ClassFigures:
    """Pixels of a class in the given and in the cleaned masks.

    Attributes
    ----------
    index, name : int, str
    color : str
        ``#rrggbb``.
    pixels_before, pixels_after : int
    mm2_before, mm2_after : float or None
        Over the images whose pixel size is known in mm; None when there are none.
    """

    index: int
    name: str
    color: str
    pixels_before: int
    pixels_after: int
    mm2_before: float | None
    mm2_after: float | None


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """Pixels of one class that became another one; class names, ``unlabelled`` where there is no label."""

    given: str
    cleaned: str
    pixels: int


@dataclass(frozen=True, kw_only=True)
class AuthorFigures:
    """What one person did; first and last time in UTC, ISO 8601."""

    name: str
    decisions: int
    strokes: int
    first: str
    last: str


@dataclass(frozen=True, kw_only=True)
class DayFigures:
    """What one person did on one day (UTC), by kind."""

    day: str
    author: str
    kinds: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class ReviewFigures:
    """How the review went.

    Attributes
    ----------
    regions : int
        Regions that were accepted, kept or painted; unsure and skipped ones are not counted.
    changed : int
        Those of them whose answer changed a label.
    hit_rate : float or None
        ``changed / regions``.
    median_seconds : float or None
        Between one decision of a person and their next, gaps of over five minutes left out.
    timed : int
        Gaps that the median is taken from.
    seconds_at_work : float
        Their sum.
    """

    regions: int
    changed: int
    hit_rate: float | None
    median_seconds: float | None
    timed: int
    seconds_at_work: float


@dataclass(frozen=True, kw_only=True)
class TrustFigures:
    """What the run says of the labels, when it scored them and now.

    Attributes
    ----------
    images : int
        Images that have scores.
    mean_scored, mean_now : float
        Mean trust of the labelled pixels, in [0, 1]; now, what somebody vouches for counts 1.
    wrong_scored, wrong_now : float
        Pixels that are expected to be wrong among the doubted ones.
    """

    images: int
    mean_scored: float
    mean_now: float
    wrong_scored: float
    wrong_now: float


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Dice of the model on verified pixels that it had not learned from: at the end, and at its best epoch."""

    epoch: int
    dice: float
    best_epoch: int
    best_dice: float


@dataclass(frozen=True, kw_only=True)
class RunFigures:
    """The run whose regions were reviewed.

    Attributes
    ----------
    name, started, device : str
    epochs : int
        Epochs done.
    generation : int
        Of its scores; 0 when there are none.
    held_out : HeldOut or None
        None when too few images were verified to hold some out.
    settings, versions : mapping
        As in its run.json; an imported run says where its scores come from in place of settings.
    """

    name: str
    started: str
    device: str
    epochs: int
    generation: int
    held_out: HeldOut | None
    settings: Mapping[str, Any]
    versions: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class ImageFigures:
    """One image.

    Attributes
    ----------
    name : str
    status : str
        ``verified``: somebody vouches for every labelled pixel; ``partly``; ``open``.
    trusted : bool
        It came with a trusted mask.
    shape : tuple of int
    pixels_changed, pixels_vouched : int
    dice : float
        Between given and cleaned mask, mean over the foreground classes that are in one of them; 1 without any.
    regions_decided : int
    regions_open : int or None
    trust_scored, trust_now, wrong_scored, wrong_now : float or None
        As in :class:`TrustFigures`.
    image_path, mask_path : str or None
        Where the sources were; only when they were asked for.
    """

    name: str
    status: Status
    trusted: bool
    shape: tuple[int, ...]
    pixels_changed: int
    pixels_vouched: int
    dice: float
    regions_decided: int
    regions_open: int | None
    trust_scored: float | None
    trust_now: float | None
    wrong_scored: float | None
    wrong_now: float | None
    image_path: str | None = None
    mask_path: str | None = None


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything that a report tells.

    Attributes
    ----------
    made : str
        UTC, ISO 8601.
    program : str
        Version of this program.
    images_in_mm : int
        Images whose pixel size is known.
    decisions : mapping of kind to int
    verified : mapping of kind to int
        Pixels by how they were verified: confirmed, corrected, background, unsure.
    provenance : mapping of kind to int
        Pixels by where their label comes from, see :data:`~src_core.store.provenance.PROVENANCE`.
    images : tuple of ImageFigures
        By name.
    sections : tuple of Section
        What others add.
    """

    made: str
    program: str
    project: ProjectFigures
    totals: Totals
    classes: tuple[ClassFigures, ...]
    images_in_mm: int
    conversions: tuple[Conversion, ...]
    decisions: Mapping[str, int]
    authors: tuple[AuthorFigures, ...]
    days: tuple[DayFigures, ...]
    review: ReviewFigures
    verified: Mapping[str, int]
    provenance: Mapping[str, int]
    trust: TrustFigures | None
    run: RunFigures | None
    images: tuple[ImageFigures, ...]
    sections: tuple[Section, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: plain values, sections by their key, no number that is none."""
        values = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "sections"}
        values["sections"] = {section.key: section.to_dict() for section in self.sections}
        plain: dict[str, Any] = {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, **_plain(values)}
        for image in plain["images"]:
            for name in ("image_path", "mask_path"):
                if image[name] is None:
                    del image[name]
        return plain


def _plain(value: Any) -> Any:
    if hasattr(value, "__dataclass_fields__"):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
