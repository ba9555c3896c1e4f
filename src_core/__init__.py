"""MetaDCSeg without a screen: the method, the project on disk, the queue, the worker and the command line."""

from __future__ import annotations

__version__ = "0.1.0"
