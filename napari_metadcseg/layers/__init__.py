"""What is laid over the image. Everything here uses napari's public interface only."""

from __future__ import annotations
