"""``python -m src_core`` is the command ``metadcseg``."""

from __future__ import annotations

import sys

from src_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
