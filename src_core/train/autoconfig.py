"""Settings that fit images and machine, each with one sentence why, and how long training takes. Needs no torch.

Little is changed, and only where the preset would go wrong: structures that shrinking would lose, crops that are larger
than the images, a network that does not fit into memory. Everything else is left as it was measured to do well.
"""

from __future__ import annotations

import logging
import math
import os
import platform
import shutil
import time
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from src_core.data.case import IGNORE, vouched
from src_core.errors import MetaDCSegError
from src_core.train.intensities import are_hounsfield
from src_core.train.structures import edges_of
from src_core.train.tiles import LARGE, LONGER, windows_of

if TYPE_CHECKING:
    from src_core.config import TrainingSettings
    from src_core.store.project import Project
    from src_core.store.runs import Run

logger = logging.getLogger(__name__)

SAMPLE = 24
"""So many masks are looked at."""

LEAST_STRUCTURE = 8
"""Small structures should keep about so many px across at working resolution."""

SECONDS_A_UNIT = 6.4e-7
"""A step costs so much for each pixel of its crops and each channel of the first level: the mean of warm-up and meta
stage with helpers, 3.1 s at 160 px, from the report on speed (2 processor cores, preset *standard*)."""

REFERENCE = 46.0
"""GFlop/s of single-precision products of matrices on those cores, the fastest of some."""

BYTES_A_UNIT = 600
"""Memory that a step takes for the same; U-Net++ of width 24 on 4 crops of 160 px was seen to take 1.4 GB."""

ROOM = 0.5
"""Share of the free memory that training may take."""


@dataclass(frozen=True, kw_only=True)
class ProjectFacts:
    """What settings depend on of a project.

    Attributes
    ----------
    images, verified_images : int
    axes : int
        2, or 3 for volumes.
    longest : int
        Longest side of any image, px.
    structure : float or None
        Edge of a square as large as the small structures (a tenth of them are smaller), px; None without foreground.
    foreground : float
        Share of labelled pixels that are no background, in [0, 1].
    seconds_a_unit : float or None
        What a unit of work took in the newest run of the project.
    hounsfield : bool
        Intensities look like Hounsfield units.
    """

    images: int
    verified_images: int
    axes: int
    longest: int
    structure: float | None
    foreground: float
    seconds_a_unit: float | None
    hounsfield: bool = False


@dataclass(frozen=True, kw_only=True)
class MachineFacts:
    """What settings depend on of a machine.

    Attributes
    ----------
    memory : int or None
        Free, bytes; None where the system does not tell.
    gpu : bool
    speed : float
        Products of matrices on the processor, GFlop/s.
    """

    memory: int | None
    gpu: bool
    speed: float


@dataclass(frozen=True)
class SettingChoice:
    """One setting that is not as in the preset, or is on purpose, and why."""

    name: str
    value: Any
    why: str


@dataclass(frozen=True)
class Suggestion:
    """Settings with their reasons.

    Attributes
    ----------
    settings : TrainingSettings
    choices : tuple of SettingChoice
    notes : tuple of str
        What is done without a setting, and what the person could do, a sentence each.
    """

    settings: TrainingSettings
    choices: tuple[SettingChoice, ...]
    notes: tuple[str, ...]


# ---------------------------------------------------------------- facts


def project_facts(project: Project) -> ProjectFacts:
    """Look at the sizes of all images and at some of the masks."""
    chosen = project.cases[:: max(1, len(project.cases) // SAMPLE)]
    edges: list[float] = []
    foreground = labelled = 0
    for case in chosen:
        large = len(case.shape) == 2 and prod(case.shape) > LARGE
        for box in windows_of(case.shape) if large else [None]:
            label = project.read_label(case, box)
            foreground += int(np.count_nonzero((label > 0) & (label != IGNORE)))
            labelled += int(np.count_nonzero(label != IGNORE))
            edges += edges_of(label)
    newest = next((rate for run in project.runs() if (rate := _measured(run)) is not None), None)
    return ProjectFacts(
        images=len(project.cases),
        verified_images=sum(vouched(row) > 0 for row in project.verified_counts().values()),
        axes=max(len(case.shape) for case in project.cases) if project.cases else 2,
        longest=max((max(case.shape) for case in project.cases), default=0),
        structure=float(np.percentile(edges, 10)) if edges else None,
        foreground=foreground / max(labelled, 1),
        seconds_a_unit=newest,
        hounsfield=are_hounsfield(project),
    )


def _measured(run: Run) -> float | None:
    """Seconds a unit of work took in a run."""
    try:
        rows = run.history()
        seconds = rows[-1].get("seconds_per_step") if rows and not run.imported else None
        if not isinstance(seconds, (int, float)) or seconds <= 0:
            return None
        return float(seconds) / units(run.settings())
    except MetaDCSegError as error:
        logger.info("No speed from run %s: %s", run.name, error)
        return None


def machine_facts() -> MachineFacts:
    """Look at memory and speed; takes about a third of a second."""
    return MachineFacts(memory=_free_memory(), gpu=_has_gpu(), speed=_speed())


def _free_memory() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, StopIteration, IndexError):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):
        return None


def _has_gpu() -> bool:
    """True where torch will most probably find one; it is not asked, as it takes seconds to load."""
    return shutil.which("nvidia-smi") is not None or (platform.system() == "Darwin" and platform.machine() == "arm64")


def _speed(edge: int = 768, least: float = 0.15) -> float:
    """GFlop/s of the fastest of some products: what else runs for a moment says nothing of the hours to come."""
    matrix = np.random.default_rng(0).random((edge, edge), dtype=np.float32)
    ends = time.perf_counter() + least
    fastest = math.inf
    while (started := time.perf_counter()) < ends:
        matrix @ matrix
        fastest = min(fastest, time.perf_counter() - started)
    return 2 * edge**3 / fastest / 1e9


# ---------------------------------------------------------------- time and memory


def units(settings: TrainingSettings, axes: int = 2) -> float:
    """Work of a step: pixels of its crops times channels of the first level."""
    return float((settings.batch_size + settings.meta_batch_size) * settings.patch_size**axes * settings.base_width)


def seconds(settings: TrainingSettings, facts: ProjectFacts, machine: MachineFacts) -> float | None:
    """How long a run takes, scoring included; None where nothing is known of the machine's speed (a GPU).

    From the newest run of the project where there is one; else from the speed of the processor.
    """
    rate = facts.seconds_a_unit
    if rate is None:
        if machine.gpu and settings.device != "cpu":
            return None
        rate = SECONDS_A_UNIT * REFERENCE / max(machine.speed, 1e-3)
    training = settings.epochs * settings.steps_per_epoch * units(settings, facts.axes) * rate
    views = 4 * float(min(facts.longest, settings.max_side)) ** facts.axes * settings.base_width
    return training + facts.images * views * rate / 3  # without gradients a pixel costs about a third


def time_words(estimate: float | None) -> str:
    """A time as a range, as nobody knows better: '2 to 5 minutes'."""
    if estimate is None:
        return "time depends on the GPU"
    low, high = 0.7 * estimate, 1.5 * estimate
    for unit, length in (("hours", 3600.0), ("minutes", 60.0)):
        if low >= length:
            return _between(low / length, high / length, unit)
    return "about a minute" if high >= 60 else "under a minute"


def _between(low: float, high: float, unit: str) -> str:
    first, last = (f"{max(round(value), 1)}" for value in (low, high))
    return f"{first} to {last} {unit}" if first != last else f"about {first} {unit if first != '1' else unit[:-1]}"


def memory(settings: TrainingSettings, axes: int) -> float:
    """What a step takes, bytes, roughly."""
    crops = max(settings.batch_size, settings.meta_batch_size)
    return float(crops * settings.patch_size**axes * settings.base_width * BYTES_A_UNIT)


# ---------------------------------------------------------------- what follows


def suggest(facts: ProjectFacts, machine: MachineFacts, base: TrainingSettings) -> Suggestion:
    """Fit settings to images and machine.

    Parameters
    ----------
    facts : ProjectFacts
    machine : MachineFacts
    base : TrainingSettings
        Of a preset.
    """
    choices: list[SettingChoice] = []
    settings = base
    for choose in (_side, _patch, _size):
        for choice in choose(facts, machine, settings):
            settings = replace(settings, **{choice.name: choice.value})
            choices.append(choice)
    return Suggestion(settings, tuple(choices), tuple(_notes(facts, settings)))


def _side(facts: ProjectFacts, _machine: MachineFacts, settings: TrainingSettings) -> list[SettingChoice]:
    side, longest = settings.max_side, facts.longest
    if longest <= side:
        return [SettingChoice("max_side", side, f"The images have at most {longest} px and are used as they are.")]
    structure = facts.structure
    if structure is None or structure * side / longest >= LEAST_STRUCTURE:
        kept = "" if structure is None else f"; small structures keep {structure * side / longest:.0f} px across"
        return [SettingChoice("max_side", side, f"Images of {longest} px are shrunk to {side} px{kept}.")]
    wanted = 32 * int(np.ceil(LEAST_STRUCTURE / structure * longest / 32))
    larger = min(wanted, 2 * side, 32 * int(np.ceil(longest / 32)))
    why = (
        f"Small structures are {structure:.0f} px across in images of {longest} px; at {side} px they would have "
        f"{structure * side / longest:.0f} px only, now {structure * min(larger, longest) / longest:.0f}."
    )
    return [SettingChoice("max_side", larger, why)]


def _patch(facts: ProjectFacts, _machine: MachineFacts, settings: TrainingSettings) -> list[SettingChoice]:
    side = min(facts.longest, settings.max_side)
    most = max(16 * (side // 16), 32)
    if settings.patch_size <= most:
        return []
    return [
        SettingChoice("patch_size", most, f"The images are {side} px at most when worked on; larger crops are empty.")
    ]


def _size(facts: ProjectFacts, machine: MachineFacts, settings: TrainingSettings) -> list[SettingChoice]:
    """First fewer crops, then fewer channels, until a step fits into half of the free memory."""
    if machine.memory is None or machine.gpu:
        return []
    room, tried = ROOM * machine.memory, settings
    why = f"{machine.memory / 1e9:.1f} GB of memory are free, and a step may take half of it."
    while memory(tried, facts.axes) > room and tried.batch_size > 2:
        tried = replace(
            tried, batch_size=tried.batch_size - 1, meta_batch_size=min(tried.meta_batch_size, tried.batch_size - 1)
        )
    while memory(tried, facts.axes) > room and tried.base_width > 8:
        tried = replace(tried, base_width=tried.base_width - 8)
    names = ("batch_size", "meta_batch_size", "base_width")
    return [
        SettingChoice(name, getattr(tried, name), why)
        for name in names
        if getattr(tried, name) != getattr(settings, name)
    ]


def _notes(facts: ProjectFacts, settings: TrainingSettings) -> list[str]:
    notes = [_intensities(facts, settings)]
    shrunk = None if facts.structure is None else facts.structure * settings.max_side / max(facts.longest, 1)
    far = facts.axes == 2 and facts.longest > LONGER * settings.max_side
    if settings.tile != "off" and far and shrunk is not None and shrunk < LEAST_STRUCTURE:
        notes.append(
            f"Images of {facts.longest} px are worked on in tiles, since small structures would be {shrunk:.2g} px "
            f"across at {settings.max_side} px; scoring looks at every tile, which takes longer than the time says."
        )
    if facts.foreground:
        notes.append(
            f"{100 * facts.foreground:.2g} % of the labelled pixels are foreground; rare classes weigh more among the "
            f"verified pixels, as class_balance ({settings.class_balance:g}) says."
        )
    if settings.method == "metadcseg" and facts.verified_images < 4:
        notes.append(
            f"{facts.verified_images} images have verified pixels; from 4 on, helpers hold some out, so that trust is "
            "calibrated and runs can be compared."
        )
    return notes


def _intensities(facts: ProjectFacts, settings: TrainingSettings) -> str:
    if settings.intensities == "image" or (settings.intensities == "auto" and not facts.hounsfield):
        return "Each image is normalised by itself: clipped at its 0.5 and 99.5 percentiles, zero mean, unit spread."
    why = "As values far below zero look like Hounsfield units, all" if settings.intensities == "auto" else "All"
    return f"{why} images are clipped and scaled alike, by the 0.5 and 99.5 percentiles of what masks call foreground."
