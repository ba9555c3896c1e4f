"""The page and the command: names that would be code elsewhere, whole files, sentences for what cannot be done."""

from __future__ import annotations

import io
import json
from html.parser import HTMLParser

import numpy as np
import pytest

from src_core.cli import main
from src_core.data.case import OKABE_ITO, ClassInfo
from src_core.errors import InputError, StorageError
from src_core.report import page
from src_core.report.gather import gather
from src_core.report.sections import Section
from src_core.report.write import export_report, write_report
from src_core.review import decisions
from src_core.store.create import NewCase, build_project
from src_core.store.project import Project
from tests.reviewed import reviewed_project

HOSTILE = "<script>alert(1)</script>\"'&{{7*7}}"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return reviewed_project(tmp_path_factory.mktemp("page"))


class Reader(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_data(self, data):
        self.text.append(data)


def hostile_project(folder):
    classes = (
        ClassInfo(index=0, name="background", value=0, color=OKABE_ITO[0]),
        ClassInfo(index=1, name=HOSTILE, value=1, color="red;}</style><script>"),
    )
    label = np.zeros((9, 9), np.uint8)
    case = NewCase(name=HOSTILE, image=label, given=label)
    with build_project(folder / "a<b>&", [case], classes, author=HOSTILE) as project:
        change = decisions.edit(project, project.cases[0], decisions.Box((0, 0), (3, 3)), np.ones((3, 3), np.uint8))
        project.commit(change)
        return project.path


def hostile_section(_project, _run):
    return Section(
        key="x", title=HOSTILE, text=HOSTILE, facts={HOSTILE: HOSTILE}, columns=(HOSTILE,), rows=((HOSTILE,),)
    )


def test_names_are_text_wherever_they_stand(tmp_path):
    with Project.open(hostile_project(tmp_path)) as project:
        target = write_report(project, tmp_path / "r.html", sections=(hostile_section,))
    read = Reader(target.read_text(encoding="utf-8"))
    assert "script" not in read.tags
    assert read.tags.count("style") == 1
    # class, its change (given, cleaned), author twice, image twice (picture, table), section five times
    assert sum(HOSTILE in piece for piece in read.text) >= 10
    assert "49" not in "".join(read.text).split()
    assert ("img", "alt", f"{HOSTILE}, given") in read.attributes
    assert not [name for _, name, _ in read.attributes if name.startswith("on")]
    colors = [value for _, name, value in read.attributes if name == "style" and "background:" in value]
    assert colors
    assert all("script" not in value for value in colors)


def test_nothing_on_the_page_is_fetched(path, tmp_path):
    with Project.open(path) as project:
        read = Reader(write_report(project, tmp_path / "r.html").read_text(encoding="utf-8"))
    targets = [value for _, name, value in read.attributes if name in ("src", "href", "srcset", "action", "data")]
    assert len(targets) == 3 * 3 + 1
    assert all(value.startswith("data:") for value in targets)
    assert not {"script", "iframe", "object", "embed", "base", "form"} & set(read.tags)


def test_page_and_json_of_one_moment(path, tmp_path):
    with Project.open(path) as project:
        written = export_report(project, tmp_path / "new" / "folder")
    assert [file.name for file in written] == ["report.html", "report.json"]
    data = json.loads(written[1].read_text(encoding="utf-8"))
    read = Reader(written[0].read_text(encoding="utf-8"))
    places = [value for tag, name, value in read.attributes if (tag, name) == ("data", "data-figure")]
    values = [value for tag, name, value in read.attributes if (tag, name) == ("data", "value")]
    assert len(places) == len(values) > 60
    for place, value in zip(places, values, strict=True):
        found = data
        for key in place.split("/"):
            found = found[int(key)] if isinstance(found, list) else found[key]
        assert value == ("" if found is None else str(found))


def test_paths_are_not_in_it_unless_asked(path, tmp_path):
    with Project.open(path) as project:
        for sources in (False, True):
            for file in export_report(project, tmp_path / "out", sources=sources):
                text = file.read_text(encoding="utf-8")
                assert ("/ward/7/a.png" in text) == sources
                assert str(path) not in text


def test_a_long_list_of_images_folds(tmp_path, path):
    with Project.open(path) as project:
        data = gather(project).to_dict()
    one = data["images"][0]
    data["images"] = [{**one, "name": f"image {number:04d}"} for number in range(10_000)]
    file = io.StringIO()
    page.write_page(data, [], file)
    text = file.getvalue()
    assert text.count("<bdi>image ") == 10_000
    assert "9,950 more images" in text
    assert len(text) < 5_000_000


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (1234567, page.count, "1,234,567"), (0, page.percent, "0 %"), (1, page.percent, "100 %"),
        (0.12345, page.percent, "12.3 %"), (0.00456, page.percent, "0.46 %"), (0.00001, page.percent, "< 0.01 %"),
        (0.98765, page.ratio, "0.988"), (4.25, page.seconds, "4.2 s"), (20, page.duration, "less than a minute"),
        (754, page.duration, "13 min"), (4000, page.duration, "1 h 7 min"), (12345.6, page.area, "12,346"),
        (1.2345, page.area, "1.23"), (None, page.count, "–"), (None, page.percent, "–"), (None, page.area, "–"),
        (True, page.words, "yes"), (12345, page.words, "12,345"), (0.5, page.words, "0.5"), (None, page.words, "–"),
    ],
)  # fmt: skip
def test_how_figures_are_written(value, form, text):
    assert form(value) == text


# -------------------------------------------------------------------- the command


def test_the_command_writes_what_the_suffix_says(path, tmp_path, capsys):
    for name in ("r.html", "R.JSON"):
        assert main(["report", str(path), str(tmp_path / name)]) == 0
        assert f"Wrote {tmp_path / name}" in capsys.readouterr().out
    assert (tmp_path / "r.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert json.loads((tmp_path / "R.JSON").read_text(encoding="utf-8"))["run"]["name"] == "run-001"
    assert main(["report", str(path), str(tmp_path / "r.html"), "--pictures", "0", "--run", "run-001"]) == 0
    assert "without pictures" in (tmp_path / "r.html").read_text(encoding="utf-8")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["R.JSON", "r.html"]


def test_what_cannot_be_done_is_said_before_the_work(path, tmp_path, capsys):
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "file").touch()
    for words, sentence in (
        ([str(tmp_path / "r.pdf")], "expected a file name that ends with .html"),
        ([str(tmp_path / "r")], "or .json"),
        ([str(tmp_path / "folder.html")], "is a folder"),
        ([str(tmp_path / "file" / "r.html")], "a part of its path is a file"),
        ([str(path / "runs" / "run-001" / "run.json")], "inside of the project"),
        ([str(tmp_path / "r.html"), "--pictures", "-1"], "expected 0 or more"),
        ([str(tmp_path / "r.html"), "--run", "run-9"], "no run 'run-9'; there are: run-001"),
    ):
        assert main(["report", str(path), *words]) == 2
        assert sentence in capsys.readouterr().err
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "folder.html"]
    assert main(["report", str(tmp_path / "none"), str(tmp_path / "r.html")]) == 2
    assert main(["verify", str(path)]) == 0


def test_it_works_while_another_session_has_the_project(path, tmp_path):
    with Project.open(path, write=True):
        assert main(["report", str(path), str(tmp_path / "r.json")]) == 0


def test_what_fails_half_way_leaves_what_was_there(path, tmp_path, monkeypatch):
    target = tmp_path / "r.html"
    target.write_text("the old one")

    def full(_data, _pictures, file):
        file.write("<!DOCTYPE html>")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("src_core.report.write.write_page", full)
    with Project.open(path) as project:
        with pytest.raises(StorageError, match="the disk is full"):
            write_report(project, target)
        with pytest.raises(InputError, match="ends with"):
            write_report(project, tmp_path / "r.txt")
    assert target.read_text() == "the old one"
    assert [file.name for file in tmp_path.iterdir()] == ["r.html"]
