"""Writing results as files: one an image, same shape as its source."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from src_core.data.case import IGNORE
from src_core.errors import InputError, storage_errors
from src_core.io.formats import NEW, usual_format, write, write_new
from src_core.io.instances import renumbered
from src_core.io.lazy import LazyArray, runs
from src_core.io.sources import GRID, grid_of_case, numbers_of
from src_core.store.export_pixels import as_in_file, file_values, pixels_of
from src_core.store.staging import Staging

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from src_core.data.case import CaseInfo
    from src_core.store.project import Project
    from src_core.store.runs import Run

Format = Literal["same", "png", "tiff", "nifti", "nrrd", "ome-zarr", "npy"]

MASKS = ("cleaned", "proposed")
FLOAT_MAPS = ("trust", "alpha", "beta", "uncertainty", "cleanlab")
BYTE_MAPS = ("band", "provenance")
WHAT = (*MASKS, *FLOAT_MAPS, *BYTE_MAPS)
"""What can be exported."""

FORMATS = ("same", *NEW)
_TRIES = 3


def export(
    project: Project,
    out_dir: str | Path,
    what: Sequence[str],
    format: Format = "same",
    run: str | None = None,
    *,
    identifiers: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write ``DIR/WHAT/IMAGE.ext`` for every image that has it.

    Parameters
    ----------
    project : Project
    out_dir : path
        Made if missing; may not be a folder that the sources are in.
    what : sequence of str
        ``cleaned`` (current masks) and ``proposed`` in the format, dtype and values of the source mask; ``trust``,
        ``alpha``, ``beta``, ``uncertainty``, ``cleanlab`` (the second opinion) as float32 in [0, 1]; ``band`` as
        0/255; ``provenance`` as :data:`~src_core.store.provenance.PROVENANCE`.
    format : str
        ``same``: masks as their source, maps in a format that keeps the geometry of the source (NIfTI, NRRD, OME-Zarr,
        NumPy), else as TIFF, ``band`` and ``provenance`` of single slices as PNG. Otherwise all files are of this
        format (float maps as TIFF when it is ``png``). Every file lies where its image lies.
    run : str, optional
        Where maps and proposals come from; the newest scored run by default.
    identifiers : bool
        Leave in masks of DICOM who they are of.
    progress : callable, optional
        Called with files done and files in all.

    Returns
    -------
    list of Path
        The files, in the order they were written; each is whole. An image without scores has no maps, and is proposed
        as it is. Of an image that came without a mask no mask is made up: there is a cleaned one once a pixel of it has
        a label (:func:`without_label` names the others), and a proposed one once it has scores.

    Raises
    ------
    InputError
        For an unknown name or format, a missing run, a map that the run has not, a folder that holds sources, or one
        that another export is writing into.
    StorageError
        If the disk is full or may not be written.
    """
    out = Path(out_dir).expanduser()
    _check_what(what, format)
    scored = project.run(run) if set(what) & {"proposed", "band", *FLOAT_MAPS} else None
    _check_maps(scored, what)
    _check_folder(project, out, what)
    done, total = 0, len(what) * len(project.cases)
    written: list[Path] = []
    for name in what:
        with Staging(out / name, [case.name for case in project.cases]) as staging:
            for case in project.cases:
                if scored is None or scored.covers(case.id) or name in (*MASKS, "provenance"):
                    written += [
                        staging.publish(path)
                        for path in _export_one(project, scored, staging.path, case, name, format, identifiers)
                    ]
                done += 1
                if progress is not None:
                    progress(done, total)
    return written


def without_label(project: Project) -> list[str]:
    """Names of the images that came without a mask and have no label yet, so that there is no cleaned mask of them."""
    open_ = (case for case in project.cases if case.without_mask and not project.is_wholly_verified(case))
    return [case.name for case in open_ if _is_empty(pixels_of(project, None, case, "cleaned"))]


def words_without_label(names: Sequence[str]) -> str:
    """The same in a sentence; empty when there are none."""
    if not names:
        return ""
    count, more = len(names), f" and {len(names) - 5} more" if len(names) > 5 else ""
    return (
        f"No cleaned mask of {count} image{'s' * (count > 1)} that came without one and that nobody decided on: "
        f"{', '.join(names[:5])}{more}."
    )


def _check_what(what: Sequence[str], format: str) -> None:
    unknown = [name for name in what if name not in WHAT]
    if unknown or not what:
        raise InputError(f"Cannot export {', '.join(unknown) or 'nothing'}; expected a list of {', '.join(WHAT)}.")
    if format not in FORMATS:
        raise InputError(f"Cannot export as {format!r}; expected one of {', '.join(FORMATS)}.")


def _check_maps(run: Run | None, what: Sequence[str]) -> None:
    lacking = [name for name in what if name in FLOAT_MAPS and run is not None and not run.has_map(name)]
    if run is not None and "cleanlab" in lacking:
        raise InputError(
            f"Run {run.name} has no second opinion on its scores; make it with 'metadcseg second-opinion' first."
        )
    if run is not None and lacking:
        raise InputError(
            f"The scores of run {run.name} were imported, so there is no {' and no '.join(lacking)}: these are weights "
            "in training; leave them out."
        )


def _check_folder(project: Project, out: Path, what: Sequence[str]) -> None:
    targets = {(out / name).resolve() for name in what}
    for case in project.cases:
        for source in (case.image_path, case.mask_path):
            if source and Path(source).parent in targets:
                raise InputError(f"{out} holds source files of the project ({source}); choose another folder.")
    with storage_errors(out, "Nothing was exported."):
        out.mkdir(parents=True, exist_ok=True)


def _export_one(
    project: Project, run: Run | None, folder: Path, case: CaseInfo, name: str, format: str, identifiers: bool
) -> list[Path]:
    """Write one file; again when the image was changed meanwhile, so that it shows one moment of the record."""
    for _ in range(_TRIES):
        row, generation = project.version()[0], 0 if run is None else run.generation
        pixels = pixels_of(project, run, case, name)
        if name not in MASKS:
            written = _write_map(folder, case, pixels, format)
        elif case.without_mask and _is_empty(pixels):
            written = []
        else:
            written = _write_mask(folder, case, pixels, format, identifiers)
        same = not project.changed_after(case, row) and (run is None or run.generation == generation)
        if same or not isinstance(pixels, LazyArray):
            return written
    raise InputError(f"Image {case.name} was changed again and again while it was exported; export it again later.")


def _is_empty(label: Any) -> bool:
    """True when there is no label anywhere."""
    return all((part == IGNORE).all() for _, part in runs(label))


def _write_mask(folder: Path, case: CaseInfo, label: Any, format: str, identifiers: bool) -> list[Path]:
    encoding, where = case.encoding, case.encoding.extra.get(GRID, {})
    instances = where.get("instances")
    values = renumbered(np.asarray(label), numbers_of(case)) if instances else file_values(label, encoding)
    if format != "same":
        return [write_new(folder, case.name, format, values, grid_of_case(case))]
    flat_format = encoding.suffix in (".png", ".jpg", ".jpeg", ".bmp")
    if case.without_mask or (flat_format and values.ndim == 3):  # there was no file, or none that fits
        return [write_new(folder, case.name, usual_format(case.shape, grid_of_case(case)), values, grid_of_case(case))]
    values = as_in_file(values, where)
    path = folder / f"{case.name}{encoding.suffix}"
    return write(path, values, mode=encoding.mode, extra={**encoding.extra, "identifiers": identifiers})


def _write_map(folder: Path, case: CaseInfo, values: Any, format: str) -> list[Path]:
    chosen = _format_of_map(case, values) if format == "same" else format
    if chosen == "png" and values.dtype.kind == "f":
        chosen = "tiff"
    return [write_new(folder, case.name, chosen, values, grid_of_case(case))]


def _format_of_map(case: CaseInfo, values: Any) -> str:
    """What maps of an image are written as: what keeps its geometry, and what its owner has programs for."""
    suffix = case.encoding.suffix
    if suffix in (".npy", ".npz"):
        return "npy"
    if suffix.endswith(".zarr"):
        return "ome-zarr"
    if suffix.endswith((".nrrd", ".nhdr", ".mha", ".mhd")):
        return "nrrd"
    if grid_of_case(case).affine is not None or suffix.startswith(".nii"):
        return "nifti"
    return "tiff" if values.dtype.kind == "f" or values.ndim == 3 else "png"
