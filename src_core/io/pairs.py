"""Images and masks of the same stem, found in two folders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from src_core.errors import PairingError
from src_core.io.images import SUFFIXES

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Pair:
    """Files that belong to one image.

    Attributes
    ----------
    name : str
        The stem that they share.
    image, mask : Path
    clean : Path or None
        A trusted mask, if there is one.
    """

    name: str
    image: Path
    mask: Path
    clean: Path | None = None


def files_by_stem(folder: Path, what: str, problems: list[str]) -> dict[str, Path]:
    """Image files of a folder by stem; what is wrong is added to ``problems``. Hidden files are passed over."""
    if not folder.is_dir():
        problems.append(f"The folder of {what}, {folder}, does not exist; choose another.")
        return {}
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.is_file() or path.suffix.lower() not in SUFFIXES:
            continue
        if path.stem in found:
            problems.append(
                f"{path.name} and {found[path.stem].name} in {folder} have the same stem; rename or remove one."
            )
        found[path.stem] = path
    if not found:
        problems.append(
            f"The folder of {what}, {folder}, holds no {', '.join(sorted(SUFFIXES))} files; choose another."
        )
    return found


def find_pairs(images: Path, masks: Path, clean_masks: Path | None = None) -> list[Pair]:
    """Pair the files of the folders, ordered by name.

    Raises
    ------
    PairingError
        With every problem: a missing or empty folder, an image without a mask, a mask without an image.
    """
    problems: list[str] = []
    image_files = files_by_stem(images, "images", problems)
    mask_files = files_by_stem(masks, "masks", problems)
    clean_files = {} if clean_masks is None else files_by_stem(clean_masks, "trusted masks", problems)
    if image_files and mask_files:
        problems += [
            f"{image_files[stem].name} has no mask in {masks}; add one or remove the image."
            for stem in sorted(image_files.keys() - mask_files.keys())
        ]
        problems += [
            f"Mask {mask_files[stem].name} has no image in {images}; add one or remove the mask."
            for stem in sorted(mask_files.keys() - image_files.keys())
        ]
        problems += [
            f"Trusted mask {clean_files[stem].name} has no image in {images}; remove it or rename it."
            for stem in sorted(clean_files.keys() - image_files.keys())
        ]
    if problems:
        raise PairingError(problems)
    return [Pair(stem, image_files[stem], mask_files[stem], clean_files.get(stem)) for stem in sorted(image_files)]
