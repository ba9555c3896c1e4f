"""What a checkpoint says of itself, checked before anything is built by it: the file may be from anywhere."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import torch

from src_core.errors import MetaDCSegError
from src_core.meta.judge import FEATURES
from src_core.networks.registry import build_network
from src_core.store.reading import number_of, whole_of
from src_core.store.run_record import settings_of
from src_core.train.intensities import intensities_of
from src_core.train.tiles import tiling_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

logger = logging.getLogger(__name__)

MOST_CHANNELS, MOST_CLASSES = 4096, 255
OPTIMIZER_STATE = frozenset({"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer"})


def check_header(header: dict[str, Any]) -> None:
    """Refuse a header with missing or impossible values.

    Raises
    ------
    ValueError
        With what is wrong.
    """
    for name in ("epoch", "steps"):
        _require(whole_of(header, name) is not None, name)
    _require(number_of(header, "evidence_scale") is not None, "evidence_scale")
    for name, low, high in (("channels", 1, MOST_CHANNELS), ("classes", 2, MOST_CLASSES), ("spatial_dims", 2, 3)):
        _require(low <= (whole_of(header, name) or 0) <= high, name)
    _require(header.get("warmup_end", 0) is None or whole_of(header, "warmup_end") is not None, "warmup_end")
    for name in ("agreement", "lengths", "given_weights", "twin_steps"):
        _require(_numbers(header.get(name)), name)
    folds = header.get("folds")
    _require(isinstance(folds, list) and all(_wholes(half) for half in folds), "folds")
    assert isinstance(folds, list)
    _require(len(folds) in (0, 2) and len(header["twin_steps"]) == len(folds), "twin_steps")
    _require(len(header["given_weights"]) == len(folds) + 1, "given_weights")
    _require(header.get("learned") is None or _wholes(header["learned"]), "learned")
    _require(_wholes(header.get("cases", [])), "cases")
    _check_judge(header)
    tiles = header.get("tiles", {})
    sound = isinstance(tiles, dict) and all(key.isdecimal() and _wholes(values) for key, values in tiles.items())
    _require(sound and isinstance(header.get("tiling"), dict | None), "tiles")
    tiling_of(header.get("tiling"))
    _require(isinstance(header.get("intensities"), dict | None), "intensities")
    intensities_of(header.get("intensities"))
    try:
        settings_of(header, "its header")
    except MetaDCSegError as error:
        raise ValueError(str(error)) from error


def _check_judge(header: Mapping[str, Any]) -> None:
    judge, scale = header.get("judge"), header.get("trust_scale")
    if judge is not None:
        rows = judge.get("coefficients") if isinstance(judge, dict) else None
        sound = isinstance(rows, list) and len(rows) == header["classes"] - 1
        _require(sound and all(_numbers(row) and len(row) == FEATURES + 1 for row in rows or []), "judge")
    if scale is not None:
        names = ("slope", "intercept")
        _require(isinstance(scale, dict) and all(number_of(scale, name) is not None for name in names), "trust_scale")


def _require(condition: bool, name: str) -> None:
    if not condition:
        raise ValueError(f"its {name} is missing or makes no sense")


def _numbers(values: Any) -> bool:
    return isinstance(values, list) and all(number_of({"": value}, "") is not None for value in values)


def _wholes(values: Any) -> bool:
    return isinstance(values, list) and all(whole_of({"": value}, "") is not None for value in values)


def check_shapes(header: Mapping[str, Any], shape_of: Callable[[str], tuple[int, ...] | None]) -> None:
    """Refuse a file whose tensors are not those of the network that its header describes, before one is made.

    The network is built without memory (torch's ``meta`` device). Some cannot be; those are checked when loaded.

    Parameters
    ----------
    header : mapping
        Checked.
    shape_of : callable
        Shape of a tensor of the file by its name; None when it is missing.

    Raises
    ------
    ValueError
        With the first tensor that does not fit.
    """
    settings = settings_of(dict(header), "its header")
    channels, classes, dims = (int(header[name]) for name in ("channels", "classes", "spatial_dims"))
    try:
        with torch.device("meta"):
            wanted = build_network(channels, classes, settings, spatial_dims=dims).state_dict()
    except RuntimeError as error:
        logger.debug("Network %s cannot be built without memory: %s", settings.network, error)
        return
    for name, values in wanted.items():
        found = shape_of(f"teacher/{name}")
        if found != tuple(values.shape):
            there = "missing" if found is None else "x".join(map(str, found))
            raise ValueError(f"tensor {name} is {there}, expected {'x'.join(map(str, values.shape))}")


def check_tensor(name: str, values: torch.Tensor) -> torch.Tensor:
    """The tensor itself, if all of its values are numbers.

    Raises
    ------
    ValueError
        If not.
    """
    if values.is_complex() or (values.is_floating_point() and not bool(torch.isfinite(values).all())):
        raise ValueError(f"tensor {name} holds values that are no numbers")
    return values
