"""A mask and an image in every format, written by the library that others use for it."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, NamedTuple

import nibabel
import numpy as np
import SimpleITK
import tifffile
import zarr
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SPACING = (2.5, 0.7, 0.6)
ORIGIN = (-40.25, 12.5, 100.0)
"""Of x, y, z in RAS; mm."""

AFFINE = np.array(
    [[0, 0, 0.6, ORIGIN[0]], [0, 0.7, 0, ORIGIN[1]], [2.5, 0, 0, ORIGIN[2]], [0, 0, 0, 1]], dtype=np.float64
)
"""Over (z, y, x)."""

TURNED = np.array([[0, -0.7, 0, 3.0], [0, 0, 0.6, -20.0], [-2.5, 0, 0, 9.0], [0, 0, 0, 1]], dtype=np.float64)
TILTED = AFFINE.copy()
TILTED[:3, :3] = np.array([[1, 0, 0], [0, np.cos(0.3), -np.sin(0.3)], [0, np.sin(0.3), np.cos(0.3)]]) @ AFFINE[:3, :3]


class Sample(NamedTuple):
    """How a file is made, what of its geometry it keeps, and what it is compared by."""

    suffix: str
    make: Callable[[Path, np.ndarray, np.ndarray], None]
    volume: bool = True
    keeps: str = "affine"  # affine, spacing or nothing
    dtype: str = "uint8"
    same_bytes: bool = False


def _nifti(affine=None, dtype="uint8", kind=nibabel.Nifti1Image, note=b""):
    def make(path, pixels, where):
        file = kind(pixels.T.astype(dtype), where[:, [2, 1, 0, 3]])
        file.header.set_xyzt_units("mm")
        if note:
            file.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", note))
        nibabel.save(file, path)

    return make


def _big_endian(path, pixels, where):
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(">i2")
    file = nibabel.Nifti1Image(pixels.T.astype(">i2"), where[:, [2, 1, 0, 3]], header)
    nibabel.save(file, path)


def _scaled(path, pixels, where):
    file = nibabel.Nifti1Image(pixels.T.astype(np.int16), where[:, [2, 1, 0, 3]])
    data = bytearray(file.to_bytes())
    data[112:120] = np.array([2.0, -3.0], "<f4").tobytes()  # value = 2 * stored - 3
    path.write_bytes(bytes(data))


def _itk(compress=False, dtype=np.uint8, key=""):
    def make(path, pixels, where):
        image = SimpleITK.GetImageFromArray(pixels.astype(dtype))
        lps = np.diag([-1.0, -1, 1, 1]) @ where[:, [2, 1, 0, 3]]
        sides = np.linalg.norm(lps[:3, :3], axis=0)
        image.SetSpacing(sides.tolist())
        image.SetOrigin(lps[:3, 3].tolist())
        image.SetDirection((lps[:3, :3] / sides).ravel().tolist())
        if key:
            image.SetMetaData(key, "kept")
        SimpleITK.WriteImage(image, str(path), useCompression=compress)

    return make


def _segments(path, pixels, where):
    image = SimpleITK.GetImageFromArray(pixels)
    image.SetSpacing(SPACING[::-1])
    for number, (name, color) in enumerate((("atrium", "1 0 0"), ("scar", "0 0.5 1"))):
        image.SetMetaData(f"Segment{number}_Name", name)
        image.SetMetaData(f"Segment{number}_LabelValue", str(number + 1))
        image.SetMetaData(f"Segment{number}_Color", color)
    SimpleITK.WriteImage(image, str(path), useCompression=True)


def _tiff(**options):
    def make(path, pixels, where):
        tifffile.imwrite(path, pixels, photometric="minisblack", **options)

    return make


def _ome_tiff(path, pixels, where):
    facts = {f"PhysicalSize{axis}": side * 1000 for axis, side in zip("ZYX", SPACING, strict=True)}
    units = {f"PhysicalSize{axis}Unit": "µm" for axis in "ZYX"}
    metadata = {"axes": "ZYX", "Name": "study", **facts, **units}
    tifffile.imwrite(path, pixels, ome=True, tile=(16, 16), compression="zlib", metadata=metadata)


def _imagej(path, pixels, where):
    metadata = {"axes": "ZYX", "unit": "mm", "spacing": SPACING[0], "Labels": ["a"] * len(pixels)}
    resolution = (1 / SPACING[2], 1 / SPACING[1])
    tifffile.imwrite(path, pixels.astype(np.uint16), imagej=True, resolution=resolution, metadata=metadata)


def _pyramid(path, pixels, where):
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        options = {"tile": (16, 16), "compression": "zlib", "photometric": "minisblack"}
        file.write(pixels, subifds=1, metadata={"axes": "YX"}, **options)
        file.write(pixels[::2, ::2], subfiletype=1, metadata=None, **options)


def _npz(path, pixels, where):
    np.savez_compressed(path, label=pixels, other=np.arange(3))


def _zarr(version, axes="zyx"):
    def make(path, pixels, where):
        group = zarr.create_group(str(path), zarr_format=version)
        shown = pixels.reshape((1,) * (len(axes) - pixels.ndim) + pixels.shape)
        scale = [1.0] * (len(axes) - pixels.ndim) + list(SPACING[-pixels.ndim :])
        datasets = []
        for level in range(2):
            part = shown[..., :: 2**level, :: 2**level]
            array = group.create_array(
                str(level), shape=part.shape, chunks=(1,) * (part.ndim - 2) + (16, 16), dtype="u1"
            )
            array[...] = part
            steps = [*scale[:-2], scale[-2] * 2**level, scale[-1] * 2**level]
            transform = [{"type": "scale", "scale": steps}]
            datasets.append({"path": str(level), "coordinateTransformations": transform})
        kinds = {"t": {"type": "time"}, "c": {"type": "channel"}}
        space = {"type": "space", "unit": "millimeter"}
        named = [{"name": axis, **kinds.get(axis, space)} for axis in axes]
        multiscale = {"version": "0.4", "name": "study", "axes": named, "datasets": datasets}
        label = {"version": "0.4", "colors": [{"label-value": 1, "rgba": [230, 159, 0, 255]}]}
        if version == 2:
            group.attrs.update({"multiscales": [multiscale], "image-label": label})
        else:
            group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale], "image-label": label}

    return make


def _palette(path, pixels, where):
    image = Image.fromarray(pixels, mode="P")
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255])
    image.save(path)


def _bilevel(path, pixels, where):
    Image.fromarray((pixels > 0).astype(np.uint8) * 255).convert("1").save(path)


SAMPLES = {
    "nifti": Sample(".nii", _nifti(), same_bytes=True),
    "nifti packed": Sample(".nii.gz", _nifti(note=b"of a ward")),
    "nifti-2": Sample(".nii", _nifti(kind=nibabel.Nifti2Image, dtype="int32"), dtype="int32", same_bytes=True),
    "nifti floats": Sample(".nii", _nifti(dtype="float32"), dtype="float32", same_bytes=True),
    "nifti big-endian": Sample(".nii", _big_endian, dtype="int16", same_bytes=True),
    "nifti scaled": Sample(".nii", _scaled, dtype="float64", same_bytes=True),
    "nrrd": Sample(".nrrd", _itk(key="ward"), same_bytes=True),
    "nrrd packed": Sample(".nrrd", _itk(compress=True, dtype=np.uint16), dtype="uint16"),
    "nrrd segments": Sample(".seg.nrrd", _segments, keeps="spacing"),
    "nhdr": Sample(".nhdr", _itk()),
    "metaimage": Sample(".mha", _itk(dtype=np.int16, key="ward"), dtype="int16", same_bytes=True),
    "metaimage packed": Sample(".mha", _itk(compress=True)),
    "mhd": Sample(".mhd", _itk()),
    "mhd packed": Sample(".mhd", _itk(compress=True)),
    "tiff": Sample(".tif", _tiff(), volume=False, keeps="nothing"),
    "tiff stack": Sample(".tif", _tiff(compression="lzw", predictor=True), keeps="nothing"),
    "tiff big-endian": Sample(".tiff", _tiff(byteorder=">", bigtiff=True), keeps="nothing"),
    "tiff tiled": Sample(".tif", _tiff(tile=(16, 32), compression="zlib"), keeps="nothing"),
    "tiff pyramid": Sample(".tif", _pyramid, volume=False, keeps="nothing"),
    "ome-tiff": Sample(".ome.tif", _ome_tiff, keeps="spacing"),
    "imagej": Sample(".tif", _imagej, keeps="spacing", dtype="uint16"),
    "npy": Sample(".npy", lambda path, pixels, where: np.save(path, pixels), keeps="nothing", same_bytes=True),
    "npy fortran": Sample(
        ".npy",
        lambda path, pixels, where: np.save(path, np.asfortranarray(pixels.astype(">i4"))),
        keeps="nothing",
        dtype="int32",
        same_bytes=True,
    ),
    "npz": Sample(".npz", _npz, keeps="nothing"),
    "zarr 0.4": Sample(".zarr", _zarr(2), keeps="spacing"),
    "zarr 0.5": Sample(".ome.zarr", _zarr(3), keeps="spacing"),
    "zarr tczyx": Sample(".ome.zarr", _zarr(3, "tczyx"), keeps="spacing"),
    "png": Sample(
        ".png", lambda path, pixels, where: Image.fromarray(pixels).save(path), volume=False, keeps="nothing"
    ),
    "png palette": Sample(".png", _palette, volume=False, keeps="nothing"),
    "bmp": Sample(
        ".bmp", lambda path, pixels, where: Image.fromarray(pixels).save(path), volume=False, keeps="nothing"
    ),
}


def labels(volume: bool, seed: int = 0) -> np.ndarray:
    """A mask of three values, uint8, whose axes differ."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 3, (5, 40, 36) if volume else (40, 36)).astype(np.uint8)


def content(path: Path) -> object:
    """What a file holds but for packing: bytes, or of a store its files by name."""
    if path.is_dir():
        return {
            str(file.relative_to(path)): json.loads(file.read_text())
            if "zarr.json" in file.name or file.name.startswith(".z")
            else b""
            for file in sorted(path.rglob("*"))
            if file.is_file()
        }
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
