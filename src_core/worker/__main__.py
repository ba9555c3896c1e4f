"""``python -m src_core.worker PROJECT RUN``: the training process. It talks in JSON lines, see messages.py."""

from __future__ import annotations

import sys

from src_core.worker.process import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
