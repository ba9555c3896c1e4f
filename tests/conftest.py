"""Small projects and settings that the tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from src_core.config import preset
from src_core.data.case import OKABE_ITO, ClassInfo
from src_core.data.noise import corrupt
from src_core.data.phantoms import phantom_set
from src_core.store.create import NewCase, build_project

if TYPE_CHECKING:
    from pathlib import Path

CLASSES = (
    ClassInfo(index=0, name="background", value=0, color=OKABE_ITO[0]),
    ClassInfo(index=1, name="organ", value=255, color=OKABE_ITO[1]),
)
SIZE = 64


@pytest.fixture(scope="session")
def phantoms():
    """Eight small slices."""
    return phantom_set(3, 8, (SIZE, SIZE))


@pytest.fixture
def make_project(tmp_path, phantoms):
    """Function that builds a project of phantoms with planted errors, and leaves it closed."""

    def make(count: int = 6, trusted: int = 3, name: str = "study") -> Path:
        cases = [
            NewCase(
                name=slice_.name,
                image=slice_.image,
                given=corrupt(slice_.truth, recipe="biased", ratio=0.4, seed=1, name=slice_.name),
                clean=slice_.truth if index < trusted else None,
            )
            for index, slice_ in enumerate(phantoms[:count])
        ]
        project = build_project(tmp_path / name, cases, CLASSES, author="tester")
        project.close()
        return project.path

    return make


@pytest.fixture
def make_folders(tmp_path, phantoms):
    """Function that writes folders of images, masks and trusted masks."""

    def make(count: int = 4, trusted: int = 2) -> Path:
        for index, slice_ in enumerate(phantoms[:count]):
            noisy = corrupt(slice_.truth, recipe="biased", ratio=0.4, seed=1, name=slice_.name)
            for folder, pixels in (
                ("images", slice_.image),
                ("masks", noisy * 255),
                ("trusted", slice_.truth * 255),
            ):
                if folder == "trusted" and index >= trusted:
                    continue
                (tmp_path / folder).mkdir(exist_ok=True)
                Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / folder / f"{slice_.name}.png")
        return tmp_path

    return make


@pytest.fixture
def tiny():
    """Settings that train in seconds."""

    def make(**changes):
        values = {
            "epochs": 3,
            "steps_per_epoch": 2,
            "base_width": 8,
            "patch_size": 32,
            "max_side": 48,
            "batch_size": 2,
            "meta_batch_size": 2,
            "threads": 1,
            "device": "cpu",
        }
        return preset("quick", **{**values, **changes})

    return make


@pytest.fixture(autouse=True)
def own_preferences(monkeypatch, tmp_path):
    """Nobody's preferences are read or changed by a test."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
