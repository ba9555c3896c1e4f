"""The habits of the project, checked."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = sorted([*ROOT.glob("src_core/**/*.py"), *ROOT.glob("napari_metadcseg/**/*.py")])


def tool(*words: str) -> str:
    done = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout


def test_ruff():
    tool("ruff", "check", ".")
    tool("ruff", "format", "--check", ".")


def test_mypy():
    tool("mypy")


def test_imports_point_one_way():
    script = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]


@pytest.mark.parametrize(
    "module", ["src_core.store.project", "src_core.store.create", "src_core.review.queue", "src_core.report.write"]
)
def test_files_store_and_review_start_without_torch(module):
    code = f"import sys, {module}; sys.exit(bool({{'torch', 'napari', 'qtpy'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_the_command_line_starts_without_torch_and_window():
    code = "import sys; from src_core.cli import build_parser; build_parser(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_files_stay_small():
    long = {str(path.relative_to(ROOT)): lines for path in CODE if (lines := path.read_text().count("\n")) > 400}
    assert long == {}


CODE_FROM_DATA = re.compile(
    r"(?<![\w.])(eval|exec|compile|__import__)\(|\bimport (pickle|marshal|shelve|dill|joblib)\b|yaml\.load\("
)


def test_nothing_that_is_read_can_run():
    """No pickle, and no code from data; programs by name only from what is installed."""
    found = [
        (path.name, line) for path in CODE for line in path.read_text().splitlines() if CODE_FROM_DATA.search(line)
    ]
    assert found == []


def test_no_pickle_and_no_unfinished_ends():
    words = ("pickle.load", "torch.load(", "allow_pickle=True", "TO" + "DO", "FIX" + "ME", "NotImplemented" + "Error")
    found = [(path.name, word) for path in CODE for word in words if word in path.read_text()]
    assert found == []


# ------------------------------------------------------------------ the manifest

DISCOVER = """
import npe2, sys
manager = npe2.PluginManager()
manager.discover()
manifest = manager.get_manifest("napari-metadcseg")
assert manifest.contributions.widgets[0].display_name == "MetaDCSeg: clean masks"
assert manifest.contributions.sample_data[0].key == "planted-errors"
"""


def discover(path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(path)}
    done = subprocess.run(
        [sys.executable, "-c", DISCOVER], cwd=path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def pip(*words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_a_wheel_shows_the_plugin(tmp_path):
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(ROOT))
    (wheel,) = tmp_path.glob("*.whl")
    pip("install", "--no-deps", "--target", str(tmp_path / "site"), str(wheel))
    assert (tmp_path / "site" / "napari_metadcseg" / "napari.yaml").is_file()
    for name in ("page.html.j2", "page.css", "report.schema.json"):
        assert (tmp_path / "site" / "src_core" / "report" / name).is_file()
    discover(tmp_path / "site")


def test_an_editable_install_shows_the_plugin():
    """The manifest inside of the package is a link to the one at the root."""
    link = ROOT / "napari_metadcseg" / "napari.yaml"
    assert link.is_symlink()
    assert link.resolve() == ROOT / "napari.yaml"
    done = subprocess.run(
        [sys.executable, "-m", "npe2", "validate", str(ROOT / "napari.yaml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_editable_install_in_an_environment_of_its_own(tmp_path):
    pip("install", "--no-deps", "--no-build-isolation", "--target", str(tmp_path / "site"), "-e", str(ROOT))
    # --target does not run .pth files by itself: name it a site folder
    code = f"import site; site.addsitedir({str(tmp_path / 'site')!r})\n{DISCOVER}"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
