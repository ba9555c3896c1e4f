"""Nothing that is loaded is trusted: whatever stands in a file, a person reads one sentence, and no memory is eaten."""

from __future__ import annotations

import copy
import json
import shutil
import struct

import jsonschema
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from napari_metadcseg import preferences
from src_core.config import TrainingSettings, preset
from src_core.data.case import Box
from src_core.data.scores import ImageScore, Region
from src_core.errors import (
    CheckpointError,
    FormatError,
    MetaDCSegError,
    ProjectDamagedError,
    SettingsError,
    WorkerError,
)
from src_core.messages import Message
from src_core.store import chunks, opinion, ranking
from src_core.store.reading import as_object
from src_core.store.run_choice import choose, read_comparison
from src_core.store.run_record import SCHEMA, read_settings, record_schema
from src_core.store.run_table import run_rows
from src_core.store.runs import Run, ScoreWriter
from src_core.train import checkpoint
from src_core.train.control import Control
from src_core.train.run import train

QUICK = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

NUMBERS = st.one_of(st.integers(-(2**70), 2**70), st.floats(), st.sampled_from([10**400, -1, 0, 2**63]))
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=8))
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
DEEP = "[" * 100_000


def places(values, path=()):
    """Every place inside of a JSON value."""
    yield path
    items = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def changed(values, place, new):
    """The value with another one at a place; ``...`` takes it away."""
    if not place:
        return new
    values = copy.deepcopy(values)
    inner = values
    for key in place[:-1]:
        inner = inner[key]
    if new is ...:
        del inner[place[-1]]
    else:
        inner[place[-1]] = new
    return values


@st.composite
def damaged(draw, values):
    """JSON text with something else, or nothing, at one place; or cut short; or with junk in it."""
    place = draw(st.sampled_from(list(places(values))))
    new = draw(ANYTHING | st.just(...)) if place else draw(ANYTHING)
    text = json.dumps(changed(values, place, new))
    kind = draw(st.sampled_from(["as it is", "as it is", "cut", "junk"]))
    if kind == "cut":
        return text[: draw(st.integers(0, len(text)))]
    if kind == "junk":
        at = draw(st.integers(0, len(text)))
        return text[:at] + draw(st.text(max_size=5)) + text[at:]
    return text


def one_sentence(error):
    assert len(str(error)) < 600
    assert "\n" not in str(error)


# ------------------------------------------------------------------ runs


@pytest.fixture
def run(tmp_path, tiny):
    """A scored run of one image."""
    folder = tmp_path / "study.metadcseg" / "runs" / "run-001"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(RECORD))
    (folder / "history.jsonl").write_text(json.dumps(ROW) + "\n" + json.dumps({**ROW, "epoch": 2}) + "\n")
    writer = ScoreWriter(folder, "run-001")
    maps = {name: np.full((8, 8), 0.5, np.float32) for name in ("trust", "uncertainty")}
    writer.write(1, {**maps, "proposed": np.ones((8, 8), np.uint8), "regions": np.ones((8, 8), np.int32)})
    writer.finish([IMAGE], [REGION])
    return Run(folder)


IMAGE = ImageScore(case_id=1, image="a", score=0.5, estimated_wrong_pixels=3.0, row=1)
REGION = Region(id="a#1", number=1, case_id=1, image="a", kind="error", score=2.0, pixels=4, given=0, proposed=1,
                box=Box((0, 0), (2, 2)), trust=0.1, uncertainty=0.2)  # fmt: skip
ROW = {"epoch": 1, "loss": 0.5, "val_dice": 0.8, "held_out": True}
RECORD = {
    "run": "run-001",
    "started": "2026-01-01T00:00:00+00:00",
    "settings": json.loads(preset("quick").to_json()),
    "project": {"images": 1, "classes": ["background", "organ"], "version": [1, 1]},
    "versions": {"torch": "2"},
    "device": "CPU",
}


class _Project:
    """As much of a project as the table of runs asks for."""

    def __init__(self, run):
        self.path = run.path.parent.parent
        self.writable = False
        self._run = run

    def runs(self):
        return [Run(self._run.path)]


@QUICK
@given(text=damaged(RECORD))
def test_a_record_of_a_run(run, text):
    (run.path / "run.json").write_text(text, encoding="utf-8", errors="replace")
    for read in (run.record, run.settings):
        try:
            read()
        except MetaDCSegError as error:
            one_sentence(error)
    (row,) = run_rows(_Project(run))
    assert row.name == "run-001"
    row.plain()
    try:
        assert isinstance(read_settings(run.path / "run.json"), TrainingSettings)
    except (FormatError, SettingsError) as error:
        one_sentence(error)


@QUICK
@given(text=damaged(ROW))
def test_a_history(run, text):
    (run.path / "history.jsonl").write_text(text + "\n" + json.dumps(ROW), encoding="utf-8", errors="replace")
    for row in run.history():
        assert row["epoch"] >= 0
        assert all(row[name] is None or np.isfinite(row[name]) for name in ("loss", "val_dice"))
    run_rows(_Project(run))


@QUICK
@given(data=st.data())
def test_a_ranking(run, data):
    whole = json.loads((run.path / "ranking.json").read_text())
    target = run.path.parent / "ranking.json"
    target.write_text(data.draw(damaged(whole)), encoding="utf-8", errors="replace")
    try:
        found = ranking.read(target)
    except ProjectDamagedError as error:
        one_sentence(error)
        return
    assert found.generation >= 0
    for region in found.regions:
        assert np.isfinite([region.score, region.trust, region.uncertainty]).all()
        assert all(0 <= low < high for low, high in zip(region.box.start, region.box.stop, strict=True))
        assert {type(region.id), type(region.image), type(region.pixels)} == {str, int}
    sorted(found.images, key=lambda image: image.score)


def test_an_older_ranking_in_rows_is_checked_too(tmp_path):
    row = {**vars(REGION), "box": {"start": [0, 0], "stop": [2, 2]}}
    image = {name: value for name, value in vars(IMAGE).items() if name not in ("rest", "row")}
    path = tmp_path / "ranking.json"
    path.write_text(json.dumps({"generation": 3, "images": [image], "regions": [row]}))
    assert ranking.read(path) == ranking.Ranking(3, (ImageScore(**image),), (REGION,))
    for wrong in ({"score": "much"}, {"box": {"start": [0], "stop": [2]}}, {"box": {"start": [3, 3], "stop": [2, 2]}}):
        path.write_text(json.dumps({"generation": 3, "images": [image], "regions": [{**row, **wrong}]}))
        with pytest.raises(ProjectDamagedError):
            ranking.read(path)


@QUICK
@given(text=damaged({"generation": 1, "source": "x", "regions": [{"region": "a#1", "mean": 0.5}]}))
def test_a_second_opinion(run, text):
    folder = run.path / opinion.FOLDER
    folder.mkdir(exist_ok=True)
    (folder / opinion.RECORD).write_text(text, encoding="utf-8", errors="replace")
    found = run.second_opinion()
    assert found is None or all(np.isfinite(mean) for mean in found.values())


@QUICK
@given(data=st.data())
def test_score_arrays(run, data):
    path = run.path / "scores.zarr/cases/000001/trust/zarr.json"
    kept = path.read_text()
    path.write_text(data.draw(damaged(json.loads(kept))), encoding="utf-8", errors="replace")
    try:
        run.read_map(1, "trust")
    except ProjectDamagedError as error:
        one_sentence(error)
    finally:
        path.write_text(kept)


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [10**9, 10**9]},
        {"shape": [2**40, 1], "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2**40, 1]}}},
        {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [0, 8]}}},
        {"chunk_key_encoding": {"name": "default", "configuration": {"separator": "/../../../"}}},
        {"data_type": "object"},
        {"shape": [-8, -8]},
    ],
)
def test_arrays_that_would_eat_memory_or_leave_their_folder(run, change):
    folder = run.path / "scores.zarr/cases/000001/trust"
    facts = json.loads((folder / "zarr.json").read_text())
    (folder / "zarr.json").write_text(json.dumps({**facts, **change}))
    with pytest.raises(ProjectDamagedError, match="no trust map"):
        run.read_map(1, "trust")


def test_a_chunk_that_would_unpack_to_gigabytes(run):
    folder = run.path / "scores.zarr/cases/000001/trust"
    bomb = chunks.pack(np.zeros(2**22, np.uint8))
    (folder / "c.0.0").write_bytes(bomb)
    with pytest.raises(ProjectDamagedError, match="no trust map"):
        run.read_map(1, "trust")


@QUICK
@given(text=damaged({"run": "run-001", "known": {"run-001": "x"}}), about=damaged({"note": "x", "formerly": ["old"]}))
def test_what_a_person_said_of_runs(run, text, about):
    (run.path.parent / "reviewed.json").write_text(text, encoding="utf-8", errors="replace")
    (run.path / "about.json").write_text(about, encoding="utf-8", errors="replace")
    assert choose(run.path.parent.parent, [run]).run is run
    assert run.names[0] == "run-001"
    run_rows(_Project(run))


@QUICK
@given(
    text=damaged(
        {
            "run": "b",
            "than": "a",
            "generation": 1,
            "than_generation": 1,
            "dice": 0.8,
            "than_dice": 0.9,
            "images": 3,
            "pixels": 900,
            "worse": True,
        }
    )
)
def test_a_comparison(run, text):
    (run.path / "compared.json").write_text(text, encoding="utf-8", errors="replace")
    found = read_comparison(run)
    assert found is None or (np.isfinite([found.dice, found.than_dice]).all() and found.sentence())


@pytest.mark.parametrize("text", [DEEP, '{"a":' * 50_000, "", "null", "[]", "NaN", "\x00", '{"a": NaN}'])
def test_json_that_is_none_of_ours(run, text):
    with pytest.raises(ValueError, match=r".+"):
        as_object(text)
    for name in ("run.json", "history.jsonl", "ranking.json", "reviewed.json", "about.json", "compared.json"):
        (run.path / name).write_text(text)
    (row,) = run_rows(_Project(run))
    assert row.damage


# ------------------------------------------------------------------ settings and their schema


def test_the_schema_is_the_one_that_is_shipped():
    from importlib.resources import files

    shipped = json.loads((files("src_core.store") / SCHEMA).read_text(encoding="utf-8"))
    assert shipped == record_schema()


@QUICK
@given(data=st.data())
def test_schema_and_loader_agree_on_settings(tmp_path, data):
    values = json.loads(preset("quick").to_json())
    name = data.draw(st.sampled_from(sorted(values)))
    values[name] = data.draw(
        ANYTHING.filter(
            lambda value: (
                json.dumps(value).isascii() and "Infinity" not in json.dumps(value) and "NaN" not in json.dumps(value)
            )
        )
    )
    path = tmp_path / "run.json"
    path.write_text(json.dumps({**RECORD, "settings": values}))
    sound = not list(jsonschema.Draft202012Validator(record_schema()).iter_errors({**RECORD, "settings": values}))
    try:
        read_settings(path)
    except SettingsError:
        # the schema knows nothing of multiples, nor that 1.0 is no whole number here
        assert not sound or name in ("patch_size", "base_width") or isinstance(values[name], float)
    else:
        assert sound


@QUICK
@given(text=damaged({"v": 1, "type": "progress", "step": 1}))
def test_messages(text):
    try:
        Message.from_line(text)
    except WorkerError as error:
        one_sentence(error)


@QUICK
@given(text=damaged({"author": "x", "keys": {"accept": "A"}}))
def test_preferences(tmp_path, text):
    path = tmp_path / "preferences.json"
    path.write_text(text, encoding="utf-8", errors="replace")
    found = preferences.load(path)
    assert isinstance(found.author, str)
    assert all(isinstance(text, str) for pair in found.keys.items() for text in pair)


# ------------------------------------------------------------------ checkpoints


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a tiny run of its own."""
    from src_core.data.phantoms import phantom_set
    from src_core.store.create import NewCase, build_project
    from tests.conftest import CLASSES

    cases = [
        NewCase(name=each.name, image=each.image, given=each.truth, clean=each.truth if index < 4 else None)
        for index, each in enumerate(phantom_set(3, 5, (32, 32)))
    ]
    path = tmp_path_factory.mktemp("trained") / "p"
    build_project(path, cases, CLASSES, author="tester").close()
    values = {"epochs": 1, "steps_per_epoch": 1, "base_width": 8, "patch_size": 32, "max_side": 32, "batch_size": 1,
              "meta_batch_size": 1, "threads": 1, "device": "cpu"}  # fmt: skip
    name = train(path, None, preset("quick", **values), listener=lambda _: None, control=Control())
    return path.with_name("p.metadcseg") / "runs" / name


def parts(file):
    """Header and tensors of a safetensors file."""
    raw = file.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


def put(file, header, body):
    text = json.dumps(header).encode("utf-8", "replace")
    file.write_bytes(struct.pack("<Q", len(text)) + text + body)


def refused(folder):
    try:
        checkpoint.load_teacher(folder, torch.device("cpu"))
    except CheckpointError as error:
        one_sentence(error)


@settings(QUICK, max_examples=40)
@given(data=st.data())
def test_the_header_of_a_checkpoint(trained, tmp_path, data):
    header, body = parts(trained / checkpoint.NAME)
    ours = json.loads(header["__metadata__"]["metadcseg"])
    header["__metadata__"]["metadcseg"] = data.draw(damaged(ours))
    put(tmp_path / checkpoint.NAME, header, body)
    refused(tmp_path)


@settings(QUICK, max_examples=40)
@given(data=st.data())
def test_the_tensors_of_a_checkpoint(trained, tmp_path, data):
    header, body = parts(trained / checkpoint.NAME)
    name = data.draw(st.sampled_from(sorted(set(header) - {"__metadata__"})))
    what = data.draw(st.sampled_from(["shape", "dtype", "data_offsets", "gone", "body"]))
    if what == "gone":
        del header[name]
    elif what == "body":
        at = data.draw(st.integers(0, len(body)))
        body = body[:at] + data.draw(st.binary(max_size=9)) + body[at + data.draw(st.integers(0, 9)) :]
    elif what == "dtype":
        header[name]["dtype"] = data.draw(st.sampled_from(["F64", "F16", "BOOL", "I64", "C64", "X"]))
    else:
        sides = st.integers(0, 2**64) | st.sampled_from([0, 2**31, 2**62])
        header[name][what] = data.draw(st.lists(sides, max_size=4))
    put(tmp_path / checkpoint.NAME, header, body)
    refused(tmp_path)


@pytest.mark.parametrize("change", [{"base_width": 512}, {"network": "segresnet"}, {"network": "nobody's"}])
def test_settings_that_do_not_fit_the_tensors_build_nothing(trained, tmp_path, change):
    header, body = parts(trained / checkpoint.NAME)
    ours = json.loads(header["__metadata__"]["metadcseg"])
    ours["settings"] |= change
    header["__metadata__"]["metadcseg"] = json.dumps(ours)
    put(tmp_path / checkpoint.NAME, header, body)
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoint.read_header(tmp_path)


def test_a_network_of_not_numbers_is_refused(trained, tmp_path):
    tensors = load_file(trained / checkpoint.NAME)
    name = next(name for name in tensors if name.startswith("teacher/"))
    tensors[name].view(-1)[0] = torch.nan
    header, _ = parts(trained / checkpoint.NAME)
    save_file(tensors, tmp_path / checkpoint.NAME, metadata=header["__metadata__"])
    with pytest.raises(CheckpointError, match="no numbers"):
        checkpoint.load_teacher(tmp_path, torch.device("cpu"))


@pytest.mark.parametrize("length", [0, 7, 8, 100, -1])
def test_a_checkpoint_cut_short(trained, tmp_path, length):
    shutil.copy(trained / checkpoint.NAME, tmp_path / checkpoint.NAME)
    whole = (tmp_path / checkpoint.NAME).read_bytes()
    (tmp_path / checkpoint.NAME).write_bytes(whole[:length])
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoint.read_header(tmp_path)
