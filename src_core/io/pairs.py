"""Images and masks of the same stem, found in two folders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from src_core.errors import PairingError
from src_core.io.formats import entry_of, names, stem_of, suffix_of

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Pair:
    """Files that belong to one image.

    Attributes
    ----------
    name : str
        The stem that they share.
    image : Path
    mask : Path or None
        None when nothing is labelled.
    clean : Path or None
        A trusted mask, if there is one.
    more : tuple of Path
        Files of further channels of the image.
    """

    name: str
    image: Path
    mask: Path | None
    clean: Path | None = None
    more: tuple[Path, ...] = ()


def files_by_stem(folder: Path, what: str, problems: list[str], *, outlines: bool | None = None) -> dict[str, Path]:
    """Images or masks of a folder by stem; what is wrong is added to ``problems``.

    Hidden and other files are passed over, and of images, or when ``outlines`` is false, files of outlines; when it is
    true, all others. The masks of a COCO file are those of its images.
    """
    if folder.suffix.lower() == ".json" and folder.is_file():
        from src_core.io.polygons import images_of

        return {stem: folder / name for stem, name in images_of(folder).items()}
    if not folder.is_dir():
        problems.append(f"The folder of {what}, {folder}, does not exist; choose another.")
        return {}
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        suffix = None if path.name.startswith(".") else suffix_of(path)
        if suffix is None or (outlines is not None and entry_of(path, suffix).outlines != outlines):
            continue
        stem = stem_of(path)
        if stem in found:
            problems.append(f"{path.name} and {found[stem].name} in {folder} have the same stem; rename or remove one.")
        found[stem] = path
    if not found:
        problems.append(f"The folder of {what}, {folder}, holds no {names()} files; choose another.")
    return found


def find_pairs(
    images: Path, masks: Path | None, clean_masks: Path | None = None, *, unlabelled: bool = False
) -> list[Pair]:
    """Pair the files of the folders, ordered by name.

    Parameters
    ----------
    images, masks, clean_masks : Path
    unlabelled : bool
        Images without a mask are taken, too.

    Raises
    ------
    PairingError
        With every problem: a missing or empty folder, an image without a mask, a mask without an image.
    """
    problems: list[str] = []
    beside = True if masks is not None and masks.resolve() == images.resolve() else None  # as LabelMe keeps them
    image_files = files_by_stem(images, "images", problems, outlines=False)
    mask_files = {} if masks is None else files_by_stem(masks, "masks", problems, outlines=beside)
    clean_files = {} if clean_masks is None else files_by_stem(clean_masks, "trusted masks", problems)
    if image_files and (mask_files or masks is None):
        alone = [] if unlabelled else sorted(image_files.keys() - mask_files.keys())
        problems += [f"{image_files[stem].name} has no mask in {masks}; add one or remove the image." for stem in alone]
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
    return [Pair(stem, image_files[stem], mask_files.get(stem), clean_files.get(stem)) for stem in sorted(image_files)]
