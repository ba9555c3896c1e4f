"""export-model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from src_core.infer.export_model import export_model

if TYPE_CHECKING:
    import argparse


def export_model_command(arguments: argparse.Namespace) -> int:
    """Write the network of a run and say what is there."""
    written = export_model(arguments.project, arguments.run_name, Path(arguments.directory), arguments.format)
    print(f"Wrote {', '.join(path.name for path in written)} to {arguments.directory}")
    return 0
