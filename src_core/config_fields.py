"""The settings as a form wants them: kind, range, group and help of each, read from their declaration."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args, get_type_hints

from src_core.config import RANGES, TrainingSettings

Kind = Literal["number", "whole", "switch", "choice", "text"]

GROUPS: dict[str, tuple[str, ...]] = {
    "Size": (
        *("epochs", "steps_per_epoch", "max_side", "patch_size", "batch_size", "meta_batch_size"),
        *("dimensions", "tile", "intensities", "seed", "device", "threads", "precision"),
    ),
    "Network": ("network", "base_width", "norm", "norm_statistics"),
    "Learning": (
        *("optimizer", "learning_rate", "momentum", "weight_decay", "grad_clip", "ema_decay"),
        *("dice_weight", "clean_weight", "verified_dice_weight", "consistency_weight", "class_balance"),
    ),
    "Labels": (
        *("method", "cross_fit", "mask_offsets", "offset_ridge", "guided", "split_verified"),
        *("warmup_fraction", "warmup_by_curve", "min_verified", "low_verified"),
    ),
    "Evidence": ("weighting", "refresh_every", "evidence_rate", "evidence_scale", "prior_scale"),
    "Uncertainty": ("dcd_floor", "dcd_temperature", "dcd_momentum", "dcd_threshold", "dcd_softness"),
}
"""Settings by group, in the order of a form; those that no group names come last, under 'More'."""

HIDDEN = ("preset",)
MULTIPLES = {"patch_size": 16, "base_width": 8, "max_side": 16}
NETWORKS = ("unet++", "unet", "dynunet", "segresnet", "swinunetr")


@dataclass(frozen=True, kw_only=True)
class SettingField:
    """One setting of a form.

    Attributes
    ----------
    name, label, group, help : str
        ``help`` is its passage in the docstring of :class:`~src_core.config.TrainingSettings`.
    kind : str
        ``number``, ``whole``, ``switch``, ``choice``, or ``text`` with ``choices`` as proposals.
    low, high : float
        Range of a number.
    step : int
        Of a whole number.
    choices : tuple of str
    """

    name: str
    label: str
    group: str
    help: str
    kind: Kind
    low: float = 0.0
    high: float = 0.0
    step: int = 1
    choices: tuple[str, ...] = ()


def setting_fields() -> tuple[SettingField, ...]:
    """All settings, group by group."""
    hints, help_ = get_type_hints(TrainingSettings), _help()
    names = [field.name for field in fields(TrainingSettings) if field.name not in HIDDEN]
    grouped = [(name, group) for group, members in GROUPS.items() for name in members if name in names]
    known = {name for name, _ in grouped}
    rest = [(name, "More") for name in names if name not in known]
    return tuple(_field(name, group, hints[name], help_.get(name, "")) for name, group in grouped + rest)


def _field(name: str, group: str, hint: Any, words: str) -> SettingField:
    low, high = RANGES.get(name, (0.0, 0.0))
    return SettingField(
        name=name,
        label=name.replace("_", " ").capitalize(),
        group=group,
        help=words,
        kind=_kind(hint),
        low=low,
        high=high,
        step=MULTIPLES.get(name, 1),
        choices=tuple(map(str, get_args(hint))) or (NETWORKS if name == "network" else ()),
    )


def _kind(hint: Any) -> Kind:
    if get_args(hint):
        return "choice"
    kinds: dict[Any, Kind] = {bool: "switch", int: "whole", float: "number"}
    return kinds.get(hint, "text")


def _help() -> dict[str, str]:
    """What the docstring says of each attribute, as plain text."""
    lines = inspect.cleandoc(TrainingSettings.__doc__ or "").splitlines()
    found: dict[str, str] = {}
    names: list[str] = []
    for line in lines[lines.index("Attributes") + 2 :]:
        if line and not line.startswith(" "):
            names = [name.strip() for name in line.split(":")[0].split(",")]
        elif line.strip():
            for name in names:
                found[name] = f"{found.get(name, '')} {line.strip()}".strip()
    return {name: _plain(words) for name, words in found.items()}


def _plain(words: str) -> str:
    """Without the marks of reStructuredText and the symbols of the method."""
    words = re.sub(r":\w+:`~?([^`]*)`", r"\1", words).replace("``", "")
    return re.sub(r"\s*\[[^\]]*\]$", "", words)
