"""What a power cut would leave of a folder: a disk that has what it was told to sync, and three ways it may look."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.process.steps import Step

Key = tuple[int, int]
"""Number of a file, and how often that number was used before."""

SHARED = "-shm"
"""End of the name of SQLite's shared memory, which no power cut leaves."""

TRIES = 20
"""So often a folder is looked through anew that changes meanwhile."""


class Disk:
    """Follows the steps of a child and writes an image of the folder, as a power cut would leave it, before each.

    Images that equal the one before are left out. ``images/NUMBER.MODE.SAID`` holds one, where SAID is how many things
    the child had confirmed until then and MODE is one of

    strict
        Contents and names only of what was synced, as the standard allows.
    names
        New and changed names are there, with contents as far as they were synced: empty files after a rename.
    masks
        All of the masks is there, synced or not, and of the record what was synced.

    Parameters
    ----------
    folder : Path
        Its state at the beginning is on the disk.
    images : Path
    reader : int
        Pipe on which the child confirms; not blocking.
    """

    def __init__(self, folder: Path, images: Path, reader: int) -> None:
        self.folder, self.images, self.reader = folder, images, reader
        self.said = 0
        self.used: dict[int, int] = {}
        self.contents: dict[Key, bytes] = {}
        self.entries: dict[Key, dict[str, Key]] = {}
        self.folders: set[Key] = set()
        self.last: dict[str, object] = {}
        self.number = 0
        for path in [folder, *folder.rglob("*")]:
            self._sync(path)

    def before(self, step: Step) -> None:
        """Write images of the moment before a step, then take note of files that it removes."""
        self._image()
        victims = step.paths[:1] if step.name.startswith(("unlink", "rmdir")) else step.paths[1:2]
        for path in victims:
            if step.name.startswith(("unlink", "rename")) and path.is_file():
                self.used[path.stat().st_ino] = self.used.get(path.stat().st_ino, 0) + 1

    def synced(self, step: Step) -> None:
        """Take note that a file, a folder or all of it is on the disk."""
        if step.name in ("sync", "syncfs"):
            for path in [self.folder, *self.folder.rglob("*")]:
                self._sync(path)
        elif step.paths[0].exists():
            self._sync(step.paths[0])

    def finish(self) -> int:
        """Write the last images; how many things were confirmed."""
        self._image()
        return self.said

    def _key(self, path: Path) -> Key:
        number = path.stat().st_ino
        return number, self.used.get(number, 0)

    def _sync(self, path: Path) -> None:
        if path.is_dir():
            self.entries[self._key(path)] = {child.name: self._key(child) for child in path.iterdir()}
            self.folders.update(self._key(child) for child in path.iterdir() if child.is_dir())
        elif path.is_file():
            self.contents[self._key(path)] = path.read_bytes()

    # ---------------------------------------------------------------- images

    def _image(self) -> None:
        try:
            self.said += len(os.read(self.reader, 65536))
        except BlockingIOError:
            pass
        for mode in ("strict", "names", "masks"):
            files = self._strict(self._key(self.folder), Path()) if mode == "strict" else self._settled(mode)
            if files != self.last.get(mode):
                self.last[mode] = files
                self._write(self.images / f"{self.number:04d}.{mode}.{self.said}", files)
                self.number += 1

    def _strict(self, folder: Key, place: Path) -> dict[Path, bytes | None]:
        """Files by their place, None for folders."""
        found: dict[Path, bytes | None] = {}
        for name, key in self.entries.get(folder, {}).items():
            if name.endswith(SHARED):
                continue
            if key in self.folders:
                found[place / name] = None
                found |= self._strict(key, place / name)
            else:
                found[place / name] = self.contents.get(key, b"")
        return found

    def _settled(self, mode: str) -> dict[Path, bytes | None]:
        """What is there now; other threads go on meanwhile, and may rename what has just been listed."""
        for _ in range(TRIES):
            with contextlib.suppress(FileNotFoundError):
                return self._now(mode)
        return self._now(mode)

    def _now(self, mode: str) -> dict[Path, bytes | None]:
        found: dict[Path, bytes | None] = {}
        for path in sorted(self.folder.rglob("*")):
            place = path.relative_to(self.folder)
            if path.is_dir():
                found[place] = None
            elif not path.name.endswith(SHARED):
                whole = mode == "masks" and "arrays.zarr" in place.parts
                found[place] = path.read_bytes() if whole else self.contents.get(self._key(path), b"")
        return found

    def _write(self, target: Path, files: dict[Path, bytes | None]) -> None:
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for place, content in sorted(files.items()):
            if content is None:
                (target / place).mkdir(exist_ok=True)
            else:
                (target / place).write_bytes(content)
