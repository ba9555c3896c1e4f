"""Writing results as files: one an image, same shape as its source."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from src_core.data.case import IGNORE, CaseInfo, MaskEncoding, is_verified
from src_core.errors import InputError, storage_errors
from src_core.io import images
from src_core.store.provenance import provenance
from src_core.store.staging import Staging

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from src_core.store.project import Project
    from src_core.store.runs import Run

Format = Literal["same", "png", "tiff", "npy"]

MASKS = ("cleaned", "proposed")
FLOAT_MAPS = ("trust", "alpha", "beta", "uncertainty", "cleanlab")
BYTE_MAPS = ("band", "provenance")
WHAT = (*MASKS, *FLOAT_MAPS, *BYTE_MAPS)
"""What can be exported."""

FORMATS = ("same", "png", "tiff", "npy")


def export(
    project: Project,
    out_dir: str | Path,
    what: Sequence[str],
    format: Format = "same",
    run: str | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write ``DIR/WHAT/IMAGE.ext`` for every image.

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
        ``same``: masks as their source, maps as TIFF, ``band`` and ``provenance`` as PNG. Otherwise all files are of
        this format (float maps as TIFF when it is ``png``).
    run : str, optional
        Where maps and proposals come from; the newest scored run by default.
    progress : callable, optional
        Called with files done and files in all.

    Returns
    -------
    list of Path
        The files, in the order they were written; each is whole. An image that scores were imported without has no
        maps, and is proposed as it is.

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
                    written.append(staging.publish(_export_one(project, scored, staging.path, case, name, format)))
                done += 1
                if progress is not None:
                    progress(done, total)
    return written


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


def _export_one(project: Project, run: Run | None, folder: Path, case: CaseInfo, name: str, format: str) -> Path:
    if name in MASKS:
        label = project.read_label(case) if run is None or name == "cleaned" else _proposed(project, run, case)
        return _write_mask(folder, case, label, format)
    if name == "provenance":
        return _write_map(folder, case, provenance(project, case), format, ".png")
    assert run is not None
    values = run.read_map(case.id, name)
    if name == "band":
        return _write_map(folder, case, values.astype(np.uint8) * 255, format, ".png")
    return _write_map(folder, case, values.astype(np.float32), format, ".tif")


def _proposed(project: Project, run: Run, case: CaseInfo) -> NDArray[np.uint8]:
    """The run's proposal, except where a person has decided since."""
    label, verified = project.read_labels(case)
    if not run.covers(case.id):
        return label
    proposal: NDArray[np.uint8] = np.where(is_verified(verified), label, run.read_map(case.id, "proposed")).astype(
        np.uint8
    )
    return proposal


def file_values(label: NDArray[np.uint8], encoding: MaskEncoding) -> NDArray[Any]:
    """Class indices as the values and dtype of the source file."""
    table = np.zeros(256, dtype=np.int64)
    for index, value in encoding.values.items():
        table[index] = value
    table[IGNORE] = encoding.values[0] if encoding.ignore_value is None else encoding.ignore_value
    return table[label].astype(encoding.dtype)


def _write_mask(folder: Path, case: CaseInfo, label: NDArray[np.uint8], format: str) -> Path:
    encoding = case.encoding
    values = file_values(label, encoding)
    if format == "npy":
        return _write_npy(folder / f"{case.name}.npy", values)
    if format == "same":
        path = folder / f"{case.name}{encoding.suffix}"
        images.write(path, values, mode=encoding.mode, extra=encoding.extra)
        return path
    path = folder / f"{case.name}{'.tif' if format == 'tiff' else '.png'}"
    images.write(path, values, mode="L")
    return path


def _write_map(folder: Path, case: CaseInfo, values: NDArray[Any], format: str, usual: str) -> Path:
    if format == "npy":
        return _write_npy(folder / f"{case.name}.npy", values)
    suffix = ".tif" if format == "tiff" or values.dtype.kind == "f" else usual
    path = folder / f"{case.name}{suffix}"
    images.write(path, values, mode="L", extra={"compression": 8})
    return path


def _write_npy(path: Path, values: NDArray[Any]) -> Path:
    with storage_errors(path, "Files written before it are complete."), path.open("wb") as file:
        np.save(file, values, allow_pickle=False)
    return path
