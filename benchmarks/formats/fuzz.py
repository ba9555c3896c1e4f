"""Bad files of every format: bits flipped, bytes written over, pieces cut off, numbers made huge.

Every file is to be read or refused with one sentence (FormatError), within the limits of memory and time. The reading
is done in a process of its own, one a format, so that a crash is counted and does not end the run.

    python benchmarks/formats/fuzz.py --files 2000 --out benchmarks/reports/formats-fuzz.md
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import io
import json
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable

sys.path.insert(0, str(Path(__file__).parents[2]))

from src_core.errors import FormatError, MaskValueError
from src_core.io.sources import read_image, read_mask
from tests.contracts.samples import AFFINE, SAMPLES, Sample, labels
from tests.contracts.samples_dicom import segmentation, series
from tests.contracts.test_outlines import RUNS, SQUARE, packed
from tests.contracts.test_outlines import coco as write_coco
from tests.contracts.test_outlines import labelme as write_labelme


def labelme(path: Path, pixels: np.ndarray, _where: object) -> None:
    """Outlines of every kind, and a mask, of an image of some size."""
    write_labelme(
        path,
        ("organ", SQUARE, "polygon"),
        ("lesion", [[4, 3], [6, 5]], "rectangle"),
        ("apex", [[5, 4], [5, 6]], "circle"),
    )
    facts = json.loads(path.read_text(encoding="utf-8"))
    packed = io.BytesIO()
    Image.fromarray(pixels[:3, :4] > 0).save(packed, "PNG")
    drawn = {"label": "rest", "points": [[1, 1], [4, 3]], "shape_type": "mask", "flags": {}}
    facts["shapes"].append({**drawn, "mask": base64.b64encode(packed.getvalue()).decode()})
    path.write_text(json.dumps(facts), encoding="utf-8")


def coco(segmentation: object) -> Callable[[Path, np.ndarray, object], None]:
    """A COCO file of one image."""
    return lambda path, _pixels, _where: write_coco(path, segmentation)


INSIDE = {"coco": "a.png", "coco runs": "a.png"}
"""Kinds whose masks are parts of a file, with the name of the part."""

KINDS = {
    **SAMPLES,
    "labelme": Sample(".json", labelme, volume=False),
    "coco": Sample(".json", coco([[2, 1, 6, 1, 6, 5, 2, 5]]), volume=False),
    "coco runs": Sample(".json", coco({"size": [8, 10], "counts": packed(RUNS)}), volume=False),
    "jpeg": Sample(".jpg", lambda path, pixels, _: Image.fromarray(pixels * 100).save(path), volume=False),
    "dicom series": Sample("", lambda path, pixels, where: series(path, pixels.astype(np.int16), where)),
    "dicom segmentation": Sample(
        ".dcm",
        lambda path, pixels, where: segmentation(
            path, series(path.parent / ".s", pixels.astype(np.int16), where), pixels
        ),
    ),
}

HUGE = (b"\xff\xff\xff\x7f", b"\xff" * 8, b"99999999", b"-1", b"nan", b"\x00\x00\xc0\x7f", b"1e309", b"../../../../etc")


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """The bytes of a file with one kind of damage; headers are hit more often than pixels."""
    damage = rng.integers(5)
    if not data or damage == 0:
        return data[: rng.integers(len(data) + 1)]
    changed = bytearray(data)
    reach = len(data) if rng.random() < 0.4 else min(len(data), 600)
    if damage == 1:
        for place in rng.integers(0, reach, rng.integers(1, 9)):
            changed[place] ^= 1 << rng.integers(8)
    elif damage == 2:
        for place in rng.integers(0, reach, rng.integers(1, 9)):
            changed[place] = rng.integers(256)
    elif damage == 3:
        place, huge = int(rng.integers(reach)), HUGE[rng.integers(len(HUGE))]
        changed[place : place + len(huge)] = huge
    else:
        place = int(rng.integers(reach))
        del changed[place : place + int(rng.integers(1, 40))]
    return bytes(changed)


class OutOfTimeError(BaseException):
    """A file that takes too long."""


def child(name: str, first: int, count: int, memory: int, limit: float) -> None:
    """Read damaged files of a format, and print a line for each."""

    def late(*_: object) -> None:
        raise OutOfTimeError

    signal.signal(signal.SIGALRM, late)
    sample = KINDS[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"case{sample.suffix}"
        sample.make(path, labels(sample.volume), AFFINE)
        reader = read_image if name == "dicom series" else read_mask
        read = path / INSIDE[name] if name in INSIDE else path
        reader(read)  # with all that this imports
        own = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (own + memory, own + memory))
        files = sorted(file for file in Path(folder).rglob("*") if file.is_file() and ".s" not in file.parts)
        for seed in range(first, first + count):
            rng = np.random.default_rng([seed, len(name)])
            metadata = [file for file in files if file.name.startswith((".z", "zarr"))]
            chosen = metadata if metadata and rng.random() < 0.7 else files
            target = chosen[rng.integers(len(chosen))]
            kept = target.read_bytes()
            target.write_bytes(damaged(kept, rng))
            print(json.dumps({"seed": seed, **judged(lambda: reader(read), limit)}), flush=True)
            target.write_bytes(kept)


def judged(reader: Callable[[], object], limit: float) -> dict[str, object]:
    """What became of a file."""
    start = time.perf_counter()
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        reader()
        end = "read"
    except (FormatError, MaskValueError) as error:
        end = "refused" if "\n" not in str(error) else "more than a sentence"
    except OutOfTimeError:
        end = "too slow"
    except Exception as error:  # noqa: BLE001 - this is what is looked for
        end = f"{type(error).__module__}.{type(error).__name__}: {str(error)[:80]}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return {"end": end, "seconds": time.perf_counter() - start}


def tried(name: str, count: int, memory: int, limit: float) -> tuple[Counter[str], float, list[str]]:
    """How the files of a format ended, the slowest, and what went wrong."""
    ends: Counter[str] = Counter()
    slowest, wrong, done = 0.0, [], 0
    while done < count:
        words = [sys.executable, __file__, "--child", name, str(done), str(count - done), str(memory), str(limit)]
        run = subprocess.run(words, capture_output=True, text=True, check=False)
        rows = []
        for line in run.stdout.splitlines():
            with contextlib.suppress(ValueError):
                rows.append(json.loads(line))
        for row in rows:
            ends[row["end"] if row["end"] in ("read", "refused") else "wrong"] += 1
            slowest = max(slowest, row["seconds"])
            if row["end"] not in ("read", "refused"):
                wrong.append(f"{name}, seed {row['seed']}: {row['end']}")
        done += len(rows)
        if run.returncode and done < count:
            wrong.append(f"{name}, seed {done}: ended with {run.returncode}: {run.stderr[-300:]}")
            ends["wrong"] += 1
            done += 1
    return ends, slowest, wrong


def main() -> int:
    """Run, print and write the report."""
    if "--child" in sys.argv:
        name, first, count, memory, limit = sys.argv[2:]
        child(name, int(first), int(count), int(memory), float(limit))
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=2000, help="damaged files in all")
    parser.add_argument("--memory", type=int, default=1024, help="MiB that reading may take")
    parser.add_argument("--seconds", type=float, default=10.0, help="a file may take")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    each = -(-arguments.files // len(KINDS))
    lines = ["| files | read | refused | wrong | slowest, s |", "| --- | --- | --- | --- | --- |"]
    wrong: list[str] = []
    for name in KINDS:
        ends, slowest, found = tried(name, each, arguments.memory * 2**20, arguments.seconds)
        lines.append(f"| {name} | {ends['read']} | {ends['refused']} | {ends['wrong']} | {slowest:.2f} |")
        print(lines[-1], flush=True)
        wrong += found
    print("\n".join(wrong), file=sys.stderr)
    if arguments.out:
        head = (
            f"# Bad files\n\n{each} damaged files a kind, at most {arguments.memory} MiB and {arguments.seconds:g} s "
            "each (`benchmarks/formats/fuzz.py`), on a machine with other work.\nRead: the damage hit pixels or "
            "nothing that matters. Refused: one sentence. Wrong: anything else.\n\n"
        )
        arguments.out.write_text(head + "\n".join(lines) + "\n", encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
