"""What the commands of the command line do, each file imported only when it is used."""

from __future__ import annotations
