"""What the window shows, as frozen values. Views are handed the old and the new one and draw the difference."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from src_core.worker.probe import AUTO, DeviceInfo
from src_core.worker.states import WorkerState

if TYPE_CHECKING:
    from pathlib import Path

    from src_core.data.case import ClassInfo
    from src_core.data.scores import Region
    from src_core.review.arrival import Arrival
    from src_core.review.queue import Filter, Order
    from src_core.store.run_choice import Comparison

Status = Literal["verified", "partly", "open", "unlabelled"]
Level = Literal["info", "error"]


@dataclass(frozen=True)
class ImageRow:
    """One line of the list of images: regions that wait for a decision, and pixels that somebody vouches for."""

    case_id: int
    name: str
    status: Status
    regions: int
    score: float | None
    verified: int = 0


@dataclass(frozen=True, kw_only=True)
class ProjectState:
    """The project that is open; ``basis`` tells from what these figures were derived."""

    path: Path
    name: str
    writable: bool
    classes: tuple[ClassInfo, ...]
    rows: tuple[ImageRow, ...]
    verified_images: int
    verified_pixels: int
    basis: tuple[Any, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Preview:
    """A small picture of what the model doubts in an image.

    Attributes
    ----------
    epoch : int
        After which it was made; the file is the same in all epochs.
    doubted : float
        Share of the image's labels, in [0, 1].
    """

    case_id: int
    path: Path
    epoch: int
    doubted: float


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """What the training process is at.

    Attributes
    ----------
    losses, dice : tuple of (step, value)
        Of steps; of epochs, on verified pixels, in [0, 1].
    doubted : tuple of float
        Share of labels that the model doubted after the first epoch and after the last.
    scored : tuple of (done, total) or None
        Images scored so far, while they are.
    looks : int
        Times that the queue was filled by this run.
    verified : tuple or None
        Verified pixels in use: in all, corrected, confirmed, background.
    verified_classes : tuple of int
        The same by class.
    silence : str
        One sentence while the process does not answer.
    kept : bool
        It goes on when the window is closed.
    devices : tuple of DeviceInfo
        To choose from.
    can_train_on : bool
        There is a finished run to go on from.
    """

    worker: WorkerState = WorkerState.IDLE
    run: str = ""
    device: str = ""
    stage: str = ""
    step: int = 0
    steps: int = 0
    eta_seconds: float = 0.0
    losses: tuple[tuple[int, float], ...] = ()
    dice: tuple[tuple[int, float], ...] = ()
    doubted: tuple[float, ...] = ()
    previews: tuple[Preview, ...] = ()
    scored: tuple[int, int] | None = None
    looks: int = 0
    verified: tuple[int, int, int, int] | None = None
    verified_classes: tuple[int, ...] = ()
    notices: tuple[str, ...] = ()
    error: str = ""
    details: str = ""
    silence: str = ""
    kept: bool = False
    devices: tuple[DeviceInfo, ...] = (AUTO,)
    can_continue: bool = False
    can_train_on: bool = False


@dataclass(frozen=True, kw_only=True)
class ReviewState:
    """Where a person is in the queue.

    Attributes
    ----------
    regions : tuple of Region
        That wait for a decision, in order.
    revision : int
        Of the queue that they were taken from.
    unscored : frozenset of int
        Images, by id, that the run has no scores of; ``scored`` tells from what that was derived.
    opinion : float or None
        The second opinion on the region in hand.
    note : str
        What else is to be known of it, in words.
    undecided : float
        Wrong pixels expected in the regions, px.
    last : str
        What was recorded last, in words.
    version : int
        Grows with every change of the record.
    arrival : Arrival or None
        What the newest scores changed.
    held_back : Comparison or None
        Why the newest run is not reviewed.
    """

    run: str = ""
    regions: tuple[Region, ...] = ()
    revision: int = -1
    order: Order = "learned"
    searched: str = ""
    undecided: float = 0.0
    version: int = 0
    arrival: Arrival | None = None
    held_back: Comparison | None = None
    region: Region | None = None
    opinion: float | None = None
    note: str = ""
    position: int = 0
    open: int = 0
    errors: int = 0
    ambiguous: int = 0
    unlabelled: int = 0
    unscored: frozenset[int] = frozenset()
    scored: tuple[Any, ...] = ()
    filter: Filter = "all"
    can_undo: bool = False
    can_redo: bool = False
    last: str = ""


@dataclass(frozen=True, kw_only=True)
class Message:
    """A sentence for the person."""

    text: str = ""
    level: Level = "info"


@dataclass(frozen=True, kw_only=True)
class UiState:
    """Everything that is shown."""

    project: ProjectState | None = None
    case_id: int | None = None
    training: TrainingState = field(default_factory=TrainingState)
    review: ReviewState = field(default_factory=ReviewState)
    message: Message = field(default_factory=Message)
