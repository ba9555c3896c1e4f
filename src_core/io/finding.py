"""Images and masks that belong together, in every layout that people keep them in.

- one image and one mask: files, stores of zarr, or a folder with a DICOM series;
- two folders with files of the same stem;
- two patterns with one or more ``*``, such as ``data/*_image.nii.gz`` and ``data/*_label.nii.gz``: what the stars stand
  for is the name;
- a folder of nnU-Net (``dataset.json``, ``imagesTr`` with channels ``_0000``, ``_0001``, …, ``labelsTr``) or of the
  Medical Segmentation Decathlon (``dataset.json`` that lists its files), with the names of their classes;
- a CSV file with the columns ``image`` and ``mask``, and ``clean`` and ``name`` if wanted; paths count from its folder,
  and addresses (``https://…/NAME.ome.zarr``) are those of OME-Zarr stores on a server.
"""

from __future__ import annotations

import csv
import glob
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src_core.data.classes import ClassTable, table_of_entries
from src_core.errors import FormatError, InputError, PairingError
from src_core.io.formats import stem_of, suffix_of
from src_core.io.guard import check_inside
from src_core.io.pairs import Pair, files_by_stem, find_pairs
from src_core.io.remote import is_address

if TYPE_CHECKING:
    from collections.abc import Mapping

CHANNEL = re.compile(r"(.+)_(\d{4})")
MAX_JSON = 64 * 2**20


@dataclass(frozen=True)
class Found:
    """Pairs, and what their layout says of classes.

    Attributes
    ----------
    pairs : tuple of Pair
        Ordered by name.
    layout : str
        What they were found as, in words.
    table : ClassTable or None
        Where the layout has names of classes.
    """

    pairs: tuple[Pair, ...]
    layout: str
    table: ClassTable | None = None


def find(
    images: str | Path,
    masks: str | Path | None = None,
    clean_masks: str | Path | None = None,
    *,
    unlabelled: bool = False,
) -> Found:
    """Find pairs; only names are looked at, no file is read.

    Parameters
    ----------
    images : path or pattern
        Also a CSV file, or the folder of a data set with ``dataset.json``; these have masks of their own.
    masks, clean_masks : path or pattern, optional
    unlabelled : bool
        Images without a mask are taken, too.

    Raises
    ------
    PairingError
        With everything that does not fit.
    InputError
        If masks are missing from the command, or a list cannot be read.
    """
    path = Path(images).expanduser()
    if path.suffix.lower() == ".csv":
        return _from_csv(path, unlabelled)
    if masks is not None and _is_one(path) and Path(masks).expanduser().is_file():
        rest = None if clean_masks is None else Path(clean_masks).expanduser()
        return Found((Pair(stem_of(path), path, Path(masks).expanduser(), rest),), "one image and its mask")
    if masks is None and (path / "dataset.json").is_file():
        return _from_data_set(path, Path(clean_masks).expanduser() if clean_masks else None, unlabelled)
    if masks is None and not unlabelled:
        raise InputError(
            f"Masks are missing: give their folder, or take the images of {path} without any (unlabelled); a CSV file "
            "or a folder with dataset.json brings its own."
        )
    if any(glob.has_magic(str(each)) for each in (images, masks) if each is not None):
        return Found(tuple(_from_patterns(str(path), masks, clean_masks, unlabelled)), "patterns")
    folders = [None if each is None else Path(each).expanduser() for each in (masks, clean_masks)]
    pairs = find_pairs(path, folders[0], folders[1], unlabelled=unlabelled)
    return Found(tuple(pairs), "two folders" if masks is not None else "a folder of images")


def _is_one(path: Path) -> bool:
    """True for a file, a store or a folder with a series."""
    return path.exists() and suffix_of(path) is not None


# ------------------------------------------------------------------ patterns


def _matching(pattern: str | Path, what: str, problems: list[str]) -> dict[str, Path]:
    """Files of a pattern by what its stars stand for; of a folder by stem."""
    text = str(Path(pattern).expanduser())
    if not glob.has_magic(text):
        return files_by_stem(Path(text), what, problems, outlines=False if what == "images" else None)
    wild = re.compile(
        "".join(
            "(.*)" if part == "*" else "." if part == "?" else re.escape(part)
            for part in re.split(r"([*?])", Path(text).name)
        )
    )
    found: dict[str, Path] = {}
    for name in sorted(glob.glob(text)):
        path = Path(name)
        match = wild.fullmatch(path.name)
        if match is None or suffix_of(path) is None:
            continue
        key = "_".join(match.groups()) or stem_of(path)
        if key in found:
            problems.append(f"{path.name} and {found[key].name} have the same name {key!r} by {text}; rename one.")
        found[key] = path
    if not found:
        problems.append(f"No file of {what} fits {text}; choose another pattern.")
    return found


def _from_patterns(images: str, masks: str | Path | None, clean: str | Path | None, unlabelled: bool) -> list[Pair]:
    problems: list[str] = []
    image_files = _matching(images, "images", problems)
    mask_files = {} if masks is None else _matching(masks, "masks", problems)
    clean_files = {} if clean is None else _matching(clean, "trusted masks", problems)
    if not problems:
        alone = [] if unlabelled else sorted(image_files.keys() - mask_files.keys())
        problems += [f"{image_files[name].name} has no mask by {masks}; add one or remove the image." for name in alone]
        for files, what in ((mask_files, "Mask"), (clean_files, "Trusted mask")):
            extra = sorted(files.keys() - image_files.keys())
            problems += [f"{what} {files[name].name} has no image by {images}; remove or rename it." for name in extra]
    if problems:
        raise PairingError(problems)
    return [Pair(name, path, mask_files.get(name), clean_files.get(name)) for name, path in sorted(image_files.items())]


# ------------------------------------------------------------------ lists


def _from_csv(path: Path, unlabelled: bool) -> Found:
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"The list {path} cannot be read: {error}.") from error
    if not rows or "image" not in rows[0]:
        raise InputError(f"The list {path} has no column 'image'; expected a first line such as 'image,mask'.")
    problems: list[str] = []
    pairs: dict[str, Pair] = {}
    for line, row in enumerate(rows, start=2):
        image, mask, clean = (_listed(path, row.get(key), line, problems) for key in ("image", "mask", "clean"))
        if image is None or (mask is None and not unlabelled):
            problems.append(f"Line {line} of {path.name} names no {'mask' if image else 'image'}; add it.")
            continue
        name = (row.get("name") or "").strip() or stem_of(image)
        if name in pairs or "/" in name or "\\" in name or name.startswith("."):
            problems.append(f"Line {line} of {path.name} has the name {name!r}, which is taken or no name of a file.")
        pairs[name] = Pair(name, image, mask, clean)
    if problems:
        raise PairingError(problems)
    return Found(tuple(pairs[name] for name in sorted(pairs)), f"the list {path.name}")


def _listed(path: Path, text: str | None, line: int, problems: list[str]) -> Path | None:
    if not (text or "").strip():
        return None
    if is_address(str(text)):
        from src_core.io.remote_stores import opened_at

        try:
            return opened_at(str(text))
        except FormatError as error:
            problems.append(f"Line {line} of {path.name}: {error}")
            return Path(str(text).rstrip("/").rpartition("/")[2])
    target = path.parent / Path(str(text).strip()).expanduser()
    if not target.exists():
        problems.append(f"Line {line} of {path.name} names {target}, which does not exist.")
    return target


# ------------------------------------------------------------------ data sets


def _from_data_set(folder: Path, clean: Path | None, unlabelled: bool) -> Found:
    path = folder / "dataset.json"
    try:
        with path.open(encoding="utf-8-sig") as file:
            facts = json.loads(file.read(MAX_JSON))
        table = _classes(path, facts["labels"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} is not understood; expected that of nnU-Net or the Decathlon.") from error
    clean_problems: list[str] = []
    trusted = {} if clean is None else files_by_stem(clean, "trusted masks", clean_problems)
    listed = facts.get("training")
    if isinstance(listed, list) and listed and isinstance(listed[0], dict):
        pairs, layout = _decathlon(folder, listed, trusted, clean_problems), "Medical Segmentation Decathlon"
    else:
        pairs, layout = _nnunet(folder, trusted, clean_problems, unlabelled), "nnU-Net"
    if clean_problems:
        raise PairingError(clean_problems)
    return Found(tuple(sorted(pairs, key=lambda pair: pair.name)), layout, table)


def _classes(path: Path, labels: Mapping[str, Any]) -> ClassTable:
    """``{"0": "background"}`` of the Decathlon and nnU-Net 1, ``{"background": 0}`` of nnU-Net 2."""
    if all(str(key).isdigit() for key in labels):
        entries = [(int(key), str(name), "") for key, name in labels.items()]
    else:
        if any(isinstance(value, list) for value in labels.values()):
            raise InputError(f"{path} has regions (classes of several values); give a classes file with single values.")
        entries = [(int(value), str(name), "") for name, value in labels.items()]
    return table_of_entries(sorted(entries), path)


def _decathlon(folder: Path, listed: list[Any], clean: Mapping[str, Path], problems: list[str]) -> list[Pair]:
    pairs = []
    for entry in listed:
        paths = []
        for key in ("image", "label"):
            target = folder / str(entry.get(key, ""))
            try:
                check_inside(target, folder)
            except FormatError as error:
                problems.append(str(error))
                continue
            if not target.is_file():
                problems.append(f"dataset.json names {target}, which does not exist.")
            paths.append(target)
        if len(paths) == 2:
            name = stem_of(paths[0])
            pairs.append(Pair(name, paths[0], paths[1], clean.get(name)))
    return pairs


def _nnunet(folder: Path, clean: Mapping[str, Path], problems: list[str], unlabelled: bool) -> list[Pair]:
    channels: dict[str, dict[int, Path]] = {}
    for stem, path in files_by_stem(folder / "imagesTr", "images", problems, outlines=False).items():
        match = CHANNEL.fullmatch(stem)
        if match is None:
            problems.append(f"{path.name} has no number of a channel; nnU-Net expects NAME_0000 and so on.")
            continue
        channels.setdefault(match[1], {})[int(match[2])] = path
    masks = files_by_stem(folder / "labelsTr", "masks", problems)
    most = max((max(found) for found in channels.values()), default=0) + 1
    pairs = []
    for name, found in channels.items():
        if len(found) != most:
            problems.append(f"{name} has {len(found)} of {most} channels in {folder / 'imagesTr'}; add the others.")
        if name not in masks and not unlabelled:
            problems.append(f"{name} has no mask in {folder / 'labelsTr'}; add one or remove the image.")
        ordered = [found[number] for number in sorted(found)]
        pairs.append(Pair(name, ordered[0], masks.get(name), clean.get(name), tuple(ordered[1:])))
    for name in sorted(masks.keys() - channels.keys()):
        problems.append(f"Mask {masks[name].name} has no image in {folder / 'imagesTr'}; add one or remove the mask.")
    return pairs
