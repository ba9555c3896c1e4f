"""``python -m src_core.worker.probe``: the devices of this machine as JSON.

The window runs it as a process of its own, since asking needs torch, which the window never loads.
"""

from __future__ import annotations

import contextlib
import json
import logging
import subprocess
import sys
from dataclasses import dataclass

from src_core.worker.pipe import environment

logger = logging.getLogger(__name__)

_GIB = 1024**3


@dataclass(frozen=True)
class DeviceInfo:
    """A device that can be chosen.

    Attributes
    ----------
    device : str
        As in the settings.
    index : int or None
        Of a CUDA device.
    name : str
        For a person, with the free memory where it is known.
    scheduler : str or None
        Address of the Dask scheduler whose workers compute; None for a device of this machine.
    """

    device: str
    index: int | None
    name: str
    scheduler: str | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What the training process must find in its environment to see this device only."""
        return {} if self.index is None else {"CUDA_VISIBLE_DEVICES": str(self.index)}


AUTO = DeviceInfo("auto", None, "Automatic")


class Probe:
    """Asks for the devices once, in the background; :meth:`poll` never blocks."""

    def __init__(self) -> None:
        self.found: tuple[DeviceInfo, ...] = (AUTO,)
        self._process: subprocess.Popen[str] | None = None
        self._asked = False

    def start(self) -> None:
        """Ask, if nobody has yet."""
        if self._asked:
            return
        self._asked = True
        command = [sys.executable, "-m", "src_core.worker.probe"]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                env=environment(),
            )  # fmt: skip
        except OSError as error:
            logger.warning("The devices could not be asked for: %s", error)

    def poll(self) -> bool:
        """True when the answer has just come."""
        process = self._process
        if process is None or process.poll() is None:
            return False
        self._process = None
        with process:
            words = process.stdout.read() if process.stdout is not None else ""
        found = parse(words)
        self.found = (AUTO, *found)
        return bool(found)

    def close(self) -> None:
        """End the process, if it still runs."""
        process, self._process = self._process, None
        if process is not None:
            self._asked = False
            process.kill()
            with process, contextlib.suppress(OSError):
                process.wait()


def parse(words: str) -> tuple[DeviceInfo, ...]:
    """Devices from what the process printed; none if that is not as expected."""
    try:
        return tuple(
            DeviceInfo(str(one["device"]), one["index"], _with_memory(str(one["name"]), one["free_bytes"]))
            for one in json.loads(words)
        )
    except (ValueError, KeyError, TypeError):
        logger.warning("The list of devices could not be read: %.80r", words)
        return ()


def _with_memory(name: str, free_bytes: int | None) -> str:
    return name if free_bytes is None else f"{name}, {free_bytes / _GIB:.1f} GB free"


def main() -> int:
    """Print the devices."""
    from src_core.train.device import device_list

    sys.stdout.write(json.dumps(device_list()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
