"""Settings of a training run: frozen, checked when made, written as JSON with the run."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, get_args, get_type_hints

from src_core.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

Method = Literal["metadcseg", "l2b", "teacher", "mixed", "finetune", "noisy", "clean"]
Preset = Literal["quick", "standard", "thorough"]
Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "float32", "bfloat16"]
Optimizer = Literal["adamw", "sgd"]
Weighting = Literal["memory", "l2b", "image", "class", "sign", "softmax"]
Norm = Literal["group", "instance", "batch"]
NormStatistics = Literal["batch", "frozen"]
Dimensions = Literal["auto", "2d", "2.5d", "3d"]
Tile = Literal["auto", "on", "off"]
IntensityScale = Literal["auto", "image", "project"]

TEACHER_MEMORY = 15
"""A teacher that remembers more than this part of the run lags behind: of 300 steps, 20 (0.95) gave 3 to 4 Dice points
more than 100 (0.99) on heart slices for development, with right labels and with wrong ones."""


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Everything a run depends on, apart from the project's data.

    Symbols in brackets are those of ``docs/method.md``.

    Attributes
    ----------
    method : str
        ``metadcseg`` (the default) or one of the honest baselines: ``l2b`` (global ReLU weights, no memory),
        ``teacher`` (teacher prior only, no meta gradient), ``mixed`` (noisy + verified pixels), ``finetune``
        (noisy, then verified pixels only), ``noisy`` (given labels only), ``clean`` (verified pixels only).
    preset : str
        The preset that the other values came from; a label only.
    seed : int
        0 to 2**31 - 1. Same seed, same machine, same threads: same numbers.
    device : str
        ``auto`` takes CUDA, then MPS, then the CPU.
    threads : int
        CPU threads; 0 leaves it to the library, and in the window takes all cores but one.
    precision : str
        What the layers compute in: ``float32``, ``bfloat16`` (mixed precision; the derivative of the meta weights stays
        in single precision), or ``auto``, which is ``bfloat16`` on a CUDA device that has it and else ``float32``.
    epochs, steps_per_epoch : int
        An epoch is a fixed number of optimiser steps, so that its length does not depend on the data.
    warmup_fraction : float
        Share of the epochs before meta weights are used, in [0, 1]. [E_w]
    warmup_by_curve : bool
        End the warm-up earlier, where the agreement with the given labels flattens, but not before a tenth of the
        epochs. Off: a longer warm-up did better in what we measured.
    cross_fit : bool
        Train two more networks that hold out one half of the verified cases each, and teach the judge of labels on
        these; the meta weights are observed and used as far as held-out cases say. Off gives the method as described:
        weights from teacher prior and meta evidence in the loss, emphasis from DCD.
    mask_offsets : bool
        With ``cross_fit``: learn place and shape from unverified masks, and the size from verified pixels.
    offset_ridge : float
        Larger values believe the size of the masks more (:func:`src_core.losses.offset.fitted_offsets`).
    guided : bool
        With ``cross_fit``: the given labels may not undo what the verified ones teach, and one weight for all of them
        is learned along the run (:mod:`src_core.meta.guide`).
    split_verified : bool
        Let one half of the verified cases judge and learn from the other half only, when there are 8 or more. Off:
        on heart slices the supervision that this costs was worth more than the independence it buys.
    batch_size, meta_batch_size : int
        Crops of a training batch and of a batch of verified crops.
    max_side : int
        Images are worked on at a resolution where the longer side is at most this many px.
    patch_size : int
        Edge of a square crop, px; a multiple of 16. A crop of a volume in 3-D has about 8 times as many voxels.
    dimensions : str
        How volumes are learned: ``2d``, slice by slice; ``2.5d``, slice by slice with the one before and the one after
        as further channels; ``3d``, with a network of volumes. ``auto`` takes ``3d`` for volumes of 32 slices or more
        that are at most 3 px apart, when there is a GPU, and ``2d`` otherwise
        (:mod:`src_core.train.dimensions`). Images are always learned in 2-D.
    tile : str
        Images that are much longer than ``max_side`` are worked on in tiles instead of being shrunk: ``on``, ``off``,
        or ``auto``, where they are more than 4 times as long, and their structures would vanish or they are too large
        for memory (:mod:`src_core.train.tiles`).
    intensities : str
        ``image`` clips and scales each image by itself; ``project`` all images alike, by their foreground, which keeps
        what absolute values tell (Hounsfield units). ``auto`` takes ``project`` where most images reach below -200
        (:mod:`src_core.train.intensities`).
    network : str
        ``unet++`` (the paper's), ``unet``, ``dynunet``, ``segresnet``, ``swinunetr``, or a name given to
        :func:`src_core.networks.registry.register`.
    base_width : int
        Channels of the network's first level; a multiple of 8.
    norm : str
        ``group`` (8 groups) or ``instance`` keep an image independent of its batch; ``batch`` is for comparison.
    norm_statistics : str
        With ``norm="batch"``, what the passes for the meta weights are normalised by after the warm-up: ``batch``, the
        statistics of their own batch, or ``frozen``, the running ones, estimated anew from 50 batches at its end.
    optimizer : str
        ``adamw`` or ``sgd`` (with ``momentum``).
    learning_rate, momentum, weight_decay, grad_clip : float
        Polynomial decay of power 0.9, gradient norm clipped.
    ema_decay : float
        Decay of the teacher; less in a short run (:attr:`teacher_decay`). [theta_bar]
    weighting : str
        ``memory``, or a form without memory (:func:`src_core.meta.weights.direct_weights`).
    refresh_every : int
        The derivative is taken every so many steps; in between the memory speaks. 0 means 2 in 2-D, 4 in
        3-D, and 1 without a memory. [k_w]
    evidence_rate : float
        Share of a new observation in the evidence memory, in (0, 1]. [rho]
    evidence_scale : float
        Weight of the evidence until verified pixels tell a better one, in [0, 2]. [s_A]
    prior_scale : float
        Weight of the teacher's posterior. [g]
    dcd_floor, dcd_temperature, dcd_momentum, dcd_threshold, dcd_softness : float
        Dynamic Center Distance. [kappa, T, mu, tau_u, s_u]
    dice_weight, clean_weight, consistency_weight : float
        Weights of the Dice term, of the verified term, and of agreement with the teacher under noise in the objective.
        [lambda_D, lambda_c, lambda_s]
    verified_dice_weight : float
        Share of Dice in the loss on verified pixels. [lambda_md]
    class_balance : float
        Power by which rare classes weigh more among the verified pixels: 0 not at all, 1 so that all classes weigh the
        same, up to 5 times.
    min_verified : int
        Fewer verified pixels than this switch the meta stage off (teacher only).
    low_verified : int
        Fewer than this and the evidence is used with its default scale only, and flagged.
    """

    method: Method = "metadcseg"
    preset: Preset = "standard"
    seed: int = 0
    device: Device = "auto"
    threads: int = 0
    precision: Precision = "auto"
    epochs: int = 40
    steps_per_epoch: int = 50
    warmup_fraction: float = 0.5
    warmup_by_curve: bool = False
    cross_fit: bool = True
    mask_offsets: bool = True
    offset_ridge: float = 0.1
    guided: bool = True
    split_verified: bool = False
    batch_size: int = 4
    meta_batch_size: int = 4
    max_side: int = 256
    patch_size: int = 160
    dimensions: Dimensions = "auto"
    tile: Tile = "auto"
    intensities: IntensityScale = "auto"
    network: str = "unet++"
    base_width: int = 24
    norm: Norm = "group"
    norm_statistics: NormStatistics = "batch"
    optimizer: Optimizer = "adamw"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 1e-2
    grad_clip: float = 1.0
    ema_decay: float = 0.99
    weighting: Weighting = "memory"
    refresh_every: int = 0
    evidence_rate: float = 0.2
    evidence_scale: float = 0.25
    prior_scale: float = 1.0
    dcd_floor: float = 0.5
    dcd_temperature: float = 0.1
    dcd_momentum: float = 0.99
    dcd_threshold: float = 0.5
    dcd_softness: float = 0.05
    dice_weight: float = 0.5
    clean_weight: float = 1.0
    verified_dice_weight: float = 0.0
    consistency_weight: float = 0.0
    class_balance: float = 0.5
    min_verified: int = 500
    low_verified: int = 2000

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for field in fields(self):
            self._check_type(field.name, hints[field.name])
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise SettingsError(
                    f"Setting {name} is {_short(value)}, expected a number from {low:g} to {high:g}; change it and try "
                    "again."
                )
        for name, multiple in (("patch_size", 16), ("base_width", 8)):
            if getattr(self, name) % multiple:
                raise SettingsError(
                    f"Setting {name} is {getattr(self, name)}, expected a multiple of {multiple}; round it."
                )

    def _check_type(self, name: str, hint: Any) -> None:
        value = getattr(self, name)
        choices = get_args(hint)
        if choices:
            if value not in choices:
                raise SettingsError(
                    f"Setting {name} is {_short(value)}, expected one of {', '.join(choices)}; choose one of these."
                )
            return
        if hint is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
            object.__setattr__(self, name, float(value))
        elif not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
            raise SettingsError(f"Setting {name} is {_short(value)}, expected {hint.__name__}; correct its type.")

    @property
    def warmup_epochs(self) -> int:
        """Number of epochs before the meta stage, rounded."""
        return round(self.warmup_fraction * self.epochs)

    @property
    def teacher_decay(self) -> float:
        """``ema_decay``, but so that the teacher remembers at most a fifteenth of the run's steps."""
        longest = self.epochs * self.steps_per_epoch / TEACHER_MEMORY
        return min(self.ema_decay, max(1 - 1 / longest, 0.0))

    def to_json(self) -> str:
        """Write the settings as a JSON object, one key a setting."""
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> TrainingSettings:
        """Make settings from a mapping; missing keys take their default.

        Raises
        ------
        SettingsError
            For a name that is no setting, or a bad value.
        """
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise SettingsError(
                f"Unknown setting {_short(unknown[0])}; remove it, or update the program that reads it."
            )
        return cls(**values)


def _short(value: Any) -> str:
    """A value as it stands in a message; from a damaged file it may be a book."""
    words = repr(value)
    return words if len(words) <= 60 else words[:57] + "..."


RANGES: dict[str, tuple[float, float]] = {
    "seed": (0, 2**31 - 1),
    "threads": (0, 1024),
    "epochs": (1, 100_000),
    "steps_per_epoch": (1, 100_000),
    "warmup_fraction": (0, 1),
    "batch_size": (1, 1024),
    "meta_batch_size": (1, 1024),
    "max_side": (32, 4096),
    "patch_size": (32, 2048),
    "base_width": (8, 512),
    "learning_rate": (1e-8, 10),
    "momentum": (0, 0.99999),
    "weight_decay": (0, 1),
    "offset_ridge": (1e-4, 1e4),
    "refresh_every": (0, 1000),
    "grad_clip": (1e-6, 1e6),
    "ema_decay": (0, 0.99999),
    "evidence_rate": (1e-3, 1),
    "evidence_scale": (0, 2),
    "prior_scale": (0, 10),
    "dcd_floor": (0, 1),
    "dcd_temperature": (1e-3, 10),
    "dcd_momentum": (0, 0.99999),
    "dcd_threshold": (0, 1),
    "dcd_softness": (1e-4, 1),
    "dice_weight": (0, 100),
    "clean_weight": (0, 100),
    "verified_dice_weight": (0, 100),
    "consistency_weight": (0, 100),
    "class_balance": (0, 1),
    "min_verified": (0, 10**9),
    "low_verified": (0, 10**9),
}

PRESETS: dict[str, TrainingSettings] = {
    "quick": TrainingSettings(
        preset="quick", epochs=12, steps_per_epoch=25, max_side=128, patch_size=128, base_width=16
    ),
    "standard": TrainingSettings(preset="standard"),
    "thorough": TrainingSettings(
        preset="thorough", epochs=100, steps_per_epoch=100, max_side=512, patch_size=224, base_width=32
    ),
}
"""Settings by name: a look in minutes, the usual run, and a long one for a GPU."""

PRESET_WORDS: dict[str, str] = {"quick": "Quick look", "standard": "Standard", "thorough": "Thorough"}

METHOD_WORDS: dict[str, str] = {
    "metadcseg": "MetaDCSeg",
    "l2b": "Learning to bootstrap (a baseline)",
    "teacher": "Teacher only (a baseline)",
    "mixed": "All masks as they are (a baseline)",
    "finetune": "All masks, then the verified ones (a baseline)",
    "noisy": "Given masks only (a baseline)",
    "clean": "Verified pixels only (a baseline)",
}


def changed_settings(settings: TrainingSettings) -> dict[str, Any]:
    """Values that are not those of the preset, by name; the method and what only says where it runs left out."""
    base = PRESETS[settings.preset]
    free = ("method", "preset", "seed", "device", "threads")
    names = [field.name for field in fields(TrainingSettings) if field.name not in free]
    return {name: getattr(settings, name) for name in names if getattr(settings, name) != getattr(base, name)}


def preset(name: str, **changes: Any) -> TrainingSettings:
    """Settings of a preset with some values changed.

    Parameters
    ----------
    name : str
        ``quick``, ``standard`` or ``thorough``.
    **changes
        Any attribute of :class:`TrainingSettings`; ``None`` means unchanged.

    Raises
    ------
    SettingsError
        For an unknown preset, an unknown setting or a bad value.
    """
    if name not in PRESETS:
        raise SettingsError(f"Preset is {name!r}, expected one of {', '.join(PRESETS)}; choose one of these.")
    wanted = {key: value for key, value in changes.items() if value is not None}
    unknown = sorted(set(wanted) - {field.name for field in fields(TrainingSettings)})
    if unknown:
        raise SettingsError(f"Unknown setting {unknown[0]!r}; remove it.")
    return replace(PRESETS[name], **wanted)
