"""The napari plugin: what a person sees of MetaDCSeg."""

from __future__ import annotations

from src_core import __version__

__all__ = ["__version__"]
