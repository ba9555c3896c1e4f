"""What a project would be made of, before it is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from src_core.errors import InputError, PairingError
from src_core.io.formats import entry_of
from src_core.io.picture import size_in_words
from src_core.io.sources import check_folders, open_image

if TYPE_CHECKING:
    from pathlib import Path

    from src_core.data.case import ClassInfo


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What was found, or what is wrong.

    Attributes
    ----------
    images, unlabelled, trusted : int
        How many images, those without a mask, and those with a trusted one.
    layout : str
        What they were found as.
    first : str
        The first image in words: name, format, size, spacing.
    classes : tuple of ClassInfo
    rule : str
        How mask values become classes.
    problems : tuple of str
        When there are any, the rest is empty.
    """

    images: int = 0
    unlabelled: int = 0
    trusted: int = 0
    layout: str = ""
    first: str = ""
    classes: tuple[ClassInfo, ...] = ()
    rule: str = ""
    problems: tuple[str, ...] = ()


def preview(
    images: str | Path,
    masks: str | Path | None = None,
    clean_masks: str | Path | None = None,
    classes_file: str | Path | None = None,
    *,
    unlabelled: bool = False,
) -> Preview:
    """Look at everything, as for :func:`~src_core.io.sources.check_folders`; what is wrong is told, not raised."""
    try:
        source = check_folders(images, masks, clean_masks, classes_file, unlabelled=unlabelled)
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
        layout=source.layout,
        first=", ".join(words),
        classes=source.table.classes,
        rule=source.table.rule,
    )
