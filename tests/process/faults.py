"""Random faults of a training process, one after the other, and what the window's side makes of each.

``python -m tests.process.faults FOLDER --count N --seed S`` prints one line of JSON a fault. FOLDER should be a small
file system of its own, so that it can be filled; ``--mount`` makes it one (in a mount namespace of one's own).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from src_core.config import preset
from src_core.data.noise import corrupt
from src_core.data.phantoms import phantom_set
from src_core.store.create import NewCase, build_project
from src_core.train.checkpoint import NAME as CHECKPOINT
from src_core.worker import client as client_module
from src_core.worker.client import WorkerClient
from src_core.worker.states import WorkerState
from tests.conftest import CLASSES

PATIENCE = 240
GRACE = 5.0
ZOMBIE = "a zombie"
MEMORY = Path("/dev/shm")
OWNER = re.compile(r"(?<![0-9a-z])\d{1,7}(?![0-9a-z])")
SETTINGS = {
    "epochs": 100_000, "steps_per_epoch": 2, "base_width": 8, "patch_size": 32, "max_side": 32, "batch_size": 2,
    "meta_batch_size": 2, "threads": 1, "device": "cpu",
}  # fmt: skip
KINDS = ("kill", "stop and go", "stop and end", "disk full", "checkpoint cut", "checkpoint damaged", "words cut",
         "memory", "project deleted")  # fmt: skip


class Ordeal:
    """A window's side that is put through faults.

    Parameters
    ----------
    folder : Path
    seed : int
    can_fill : bool
        The file system of the folder may be filled.
    """

    def __init__(self, folder: Path, seed: int, *, can_fill: bool) -> None:
        self.random = random.Random(seed)
        self.folder = folder
        self.can_fill = can_fill
        self.path = folder / "p.metadcseg"
        self.pristine = folder / "pristine"
        self.flag = folder / "memory-is-scarce"
        self.client = WorkerClient("tests.process.faulty_worker")
        self.heard: list[object] = []
        self.slowest = 0.0
        self.shared = shared_memory()
        cases = [
            NewCase(
                name=one.name, image=one.image, clean=one.truth if index < 2 else None,
                given=corrupt(one.truth, recipe="biased", ratio=0.4, seed=1, name=one.name),
            )
            for index, one in enumerate(phantom_set(3, 3, (32, 32)))
        ]  # fmt: skip
        build_project(self.path, cases, CLASSES, author="tester").close()
        shutil.copytree(self.path, self.pristine)

    # ---------------------------------------------------------------- the window's side

    def poll(self) -> None:
        """As the timer does; how long it took counts."""
        began = time.monotonic()
        self.heard += self.client.poll()
        self.slowest = max(self.slowest, time.monotonic() - began)

    def until(self, condition) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            self.poll()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.client.state} {self.client.error} {self.client.details}")
            time.sleep(0.01)

    def told(self, kind: str) -> list[dict]:
        return [message.data for message in self.heard if message.type == kind]

    def run(self, run: str | None = None) -> None:
        """Start, or go on with a run, until it has trained an epoch or ended."""
        self.heard = []
        if run is None:  # those before would fill the file system in the end
            shutil.rmtree(self.path / "runs", ignore_errors=True)
        environment = {"FAULTY_MEMORY": str(self.flag)}
        settings = preset("quick", **SETTINGS)
        self.client.start(self.path, settings, run=run, resume=run is not None, environment=environment)
        self.until(lambda: self.told("epoch") or not self.client.state.alive)

    def ended(self) -> None:
        self.until(lambda: not self.client.state.alive)

    def lives(self) -> bool:
        """It goes on: another epoch ends."""
        self.heard = []
        self.until(lambda: self.told("epoch") or not self.client.state.alive)
        return self.client.state is WorkerState.RUNNING

    # ---------------------------------------------------------------- faults

    def fault(self, kind: str) -> dict:
        """One fault; what came of it."""
        if not self.client.state.alive:
            self.run()
        time.sleep(self.random.random() * 0.2)  # at any moment of an epoch
        pid, self.slowest = self.client.pid, 0.0
        words, works = getattr(self, "_" + kind.replace(" ", "_"))(pid)
        left = self.leftovers()
        return {
            "fault": kind, "said": words, "works": works, "left": [name for name in left if name != ZOMBIE],
            "zombies": [name for name in left if name == ZOMBIE],
            "slowest_poll": self.slowest, "shared_memory": sorted(shared_memory() - self.shared),
        }  # fmt: skip

    def leftovers(self) -> list[str]:
        """Processes below this one that are not at work, after a while in which they may still end."""
        deadline = time.monotonic() + GRACE
        while (found := self.strangers()) and time.monotonic() < deadline:
            self.poll()
            time.sleep(0.05)
        return found

    def strangers(self) -> list[str]:
        """Command lines of what runs below this process beside the worker and its own children, and zombies."""
        found = []
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if child.status() == psutil.STATUS_ZOMBIE:
                    found.append(ZOMBIE)
                elif self.client.pid not in {child.pid, *(parent.pid for parent in child.parents())}:
                    found.append(" ".join(child.cmdline()[-3:]))
        return found

    def _kill(self, pid: int) -> tuple[str, bool]:
        os.kill(pid, signal.SIGKILL)
        self.ended()
        words, right = self.client.error, self.client.state is WorkerState.CRASHED
        return words, right and "press Continue" in words and self._resumes()

    def _stop_and_go(self, pid: int) -> tuple[str, bool]:
        os.kill(pid, signal.SIGSTOP)
        self.until(lambda: self.client.silence)
        words = self.client.silence
        os.kill(pid, signal.SIGCONT)
        self.until(lambda: not self.client.silence)
        return words, "press End now" in words and self.lives()

    def _stop_and_end(self, pid: int) -> tuple[str, bool]:
        os.kill(pid, signal.SIGSTOP)
        self.client.end()
        self.ended()
        right = self.client.state is WorkerState.STOPPED and not self.client.error
        return "", right and self._resumes()

    def _disk_full(self, _pid: int) -> tuple[str, bool]:
        if not self.can_fill:
            return "(no file system to fill)", True
        filler = self.folder / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"0" * 4096)
        self.ended()
        words, right = self.client.error, self.client.state is WorkerState.FAILED
        filler.unlink()
        return words, right and "the disk is full" in words and self._resumes()

    def _checkpoint_cut(self, pid: int) -> tuple[str, bool]:
        return self._spoiled(pid, lambda path: os.truncate(path, self.random.randrange(path.stat().st_size)))

    def _checkpoint_damaged(self, pid: int) -> tuple[str, bool]:
        def damage(path: Path) -> None:
            with path.open("r+b") as file:  # its table of contents; flipped bits in the numbers cannot be seen
                file.seek(self.random.randrange(64))
                file.write(self.random.randbytes(16))

        return self._spoiled(pid, damage)

    def _spoiled(self, pid: int, spoil) -> tuple[str, bool]:
        run = self.client.run
        checkpoint = self.path / "runs" / run / CHECKPOINT
        self.until(checkpoint.exists)  # it is written after the first epoch was told
        os.kill(pid, signal.SIGKILL)
        self.ended()
        spoil(checkpoint)
        self.run(run)
        words = self.client.error
        right = self.client.state is WorkerState.FAILED and "train a new run" in words and f"run {run}" in words
        self.run()
        return words, right and self.client.state is WorkerState.RUNNING

    def _words_cut(self, _pid: int) -> tuple[str, bool]:
        words = '{"v": 1, "type": "stop", "reason": "no end'
        pipe = self.client._line._process.stdin
        pipe.write(words[: self.random.randrange(1, len(words))] + "\n")
        pipe.flush()
        return "", self.lives()

    def _memory(self, _pid: int) -> tuple[str, bool]:
        self.heard = []
        self.flag.touch()
        self.until(lambda: self.told("epoch") or not self.client.state.alive)
        lives = self.lives()
        self.flag.unlink()
        return "", lives

    def _project_deleted(self, _pid: int) -> tuple[str, bool]:
        shutil.rmtree(self.path, ignore_errors=True)
        self.ended()
        words, right = self.client.error, self.client.state is WorkerState.FAILED
        shutil.rmtree(self.path, ignore_errors=True)
        shutil.copytree(self.pristine, self.path)
        self.run()
        return words, right and "moved or deleted" in words and self.client.state is WorkerState.RUNNING

    def _resumes(self) -> bool:
        self.run(self.client.run)
        first = [data["first_step"] for data in self.told("started")]
        return self.client.state is WorkerState.RUNNING and first[0] > 0

    def close(self) -> None:
        """End; nothing is left."""
        self.client.close()


def shared_memory() -> set[str]:
    """Segments of shared memory that torch or Python make, without those whose names tell of a process that lives."""
    if not MEMORY.is_dir():
        return set()
    made = {path.name for path in MEMORY.iterdir() if path.name.startswith(("torch_", "psm_", "sem.", "__KMP"))}
    return {name for name in made if (found := OWNER.search(name)) is None or not psutil.pid_exists(int(found[0]))}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mount", action="store_true")
    arguments = parser.parse_args()
    can_fill = False
    if arguments.mount:
        mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(arguments.folder)]
        can_fill = subprocess.run(mount, check=False).returncode == 0
    client_module.SILENT_AFTER = 5.0
    ordeal = Ordeal(arguments.folder, arguments.seed, can_fill=can_fill)
    kinds = list(KINDS) * (arguments.count // len(KINDS) + 1)
    ordeal.random.shuffle(kinds)
    try:
        for kind in kinds[: arguments.count]:
            print(json.dumps(ordeal.fault(kind)), flush=True)
    finally:
        ordeal.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
