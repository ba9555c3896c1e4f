"""What a project would be made of, before it is made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from src_core.errors import InputError, PairingError
from src_core.io.additions import check_addition
from src_core.io.formats import entry_of
from src_core.io.picture import size_in_words
from src_core.io.sources import check_folders, open_image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from src_core.data.case import ClassInfo
    from src_core.io.additions import Expected
    from src_core.io.sources import Source


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What was found, or what is wrong.

    Attributes
    ----------
    images, unlabelled, trusted : int
        How many images, those without a mask, and those with a trusted one.
    existing : int
        How many more there are whose names the project has already, and which are left out.
    layout : str
        What they were found as.
    first : str
        The first image in words: name, format, size, spacing.
    classes : tuple of ClassInfo
    rule : str
        How mask values become classes.
    problems : tuple of str
        When there are any, the rest is empty.
    lacking : int
        So many images lack a mask, where nothing else is wrong.
    """

    images: int = 0
    unlabelled: int = 0
    trusted: int = 0
    existing: int = 0
    layout: str = ""
    first: str = ""
    classes: tuple[ClassInfo, ...] = ()
    rule: str = ""
    problems: tuple[str, ...] = ()
    lacking: int = 0


def preview(
    images: str | Path,
    masks: str | Path | None = None,
    clean_masks: str | Path | None = None,
    classes_file: str | Path | None = None,
    *,
    unlabelled: bool = False,
) -> Preview:
    """Look at everything, as for :func:`~src_core.io.sources.check_folders`; what is wrong is told, not raised."""

    def look(unlabelled: bool) -> tuple[Source, tuple[str, ...]]:
        return check_folders(images, masks, clean_masks, classes_file, unlabelled=unlabelled), ()

    return _told(look, unlabelled)


def preview_addition(
    expected: Expected,
    images: str | Path,
    masks: str | Path | None = None,
    clean_masks: str | Path | None = None,
    *,
    unlabelled: bool = False,
    skip_existing: bool = False,
) -> Preview:
    """The same of images that are to be added to a project, as for :func:`~src_core.io.additions.check_addition`."""
    places = expected, images, masks, clean_masks
    return _told(lambda without: check_addition(*places, unlabelled=without, skip_existing=skip_existing), unlabelled)


def _told(look: Callable[[bool], tuple[Source, tuple[str, ...]]], unlabelled: bool) -> Preview:
    found = _looked(lambda: look(unlabelled))
    if not found.problems or unlabelled:
        return found
    return replace(found, lacking=_looked(lambda: look(True)).unlabelled)


def _looked(look: Callable[[], tuple[Source, tuple[str, ...]]]) -> Preview:
    try:
        source, existing = look()
        if not source.pairs:
            return Preview(existing=len(existing), layout=source.layout, classes=source.table.classes)
        first = source.pairs[0]
        picture = open_image(first.image)
    except PairingError as error:
        return Preview(problems=tuple(error.problems))
    except InputError as error:
        return Preview(problems=(str(error),))
    words = [first.name, entry_of(first.image).name, size_in_words(picture.shape)]
    if picture.grid.unit == "mm":
        words.append(" x ".join(f"{side:.3g}" for side in reversed(picture.grid.spacing)) + " mm")
    return Preview(
        images=len(source.pairs),
        unlabelled=sum(pair.mask is None for pair in source.pairs),
        trusted=sum(pair.clean is not None for pair in source.pairs),
        existing=len(existing),
        layout=source.layout,
        first=", ".join(words),
        classes=source.table.classes,
        rule=source.table.rule,
    )
