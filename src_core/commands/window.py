"""review, demo: the commands that open the window. It is looked up by name, so that the core does not need it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src_core.errors import InputError
from src_core.store.project import Project

if TYPE_CHECKING:
    import argparse


def _window(module: str) -> Any:
    try:
        return import_module(f"napari_metadcseg.{module}")
    except ImportError as error:
        raise InputError(
            f"The window cannot be opened because {error.name or error} is missing; install napari-metadcseg[pyqt6]."
        ) from error


def review(arguments: argparse.Namespace) -> int:
    """Open napari on a project."""
    Project.open(arguments.project).close()  # a wrong path is said here, not in the window
    status: int = _window("app").open_project(arguments.project)
    return status


def demo(arguments: argparse.Namespace) -> int:
    """Run the whole loop on sample data."""
    status: int = _window("demo").run(Path(arguments.out), headless=arguments.headless)
    return status
