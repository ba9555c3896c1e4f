"""Runs as a person has them: listed, renamed, deleted, chosen, compared."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from filelock import FileLock

from src_core.cli import main
from src_core.data.case import Box, Verified
from src_core.errors import InputError, ProjectLockedError, ProjectReadOnlyError
from src_core.review.run_comparison import compare_runs
from src_core.store import run_files
from src_core.store.journal import Action, Change, Patch
from src_core.store.project import Project
from src_core.store.run_choice import Comparison, choose, use_run, write_comparison
from src_core.store.run_files import delete_maps, delete_run, disk_use, rename_run, total_use, what_is_lost, write_note
from src_core.store.run_table import curves, differing_settings, run_rows
from src_core.store.runs import HELD_OUT, ScoreWriter

DAY = "2026-01-0{}T10:00:00+00:00"


@pytest.fixture
def add_run(tiny):
    """Function that leaves a run as training would, with labels that it tells of held-out cases."""

    def add(path, name, day, told=None, by=HELD_OUT, history=(), **settings):
        folder = path / "runs" / name
        folder.mkdir(parents=True, exist_ok=True)
        record = {"run": name, "started": DAY.format(day), "settings": json.loads(tiny(**settings).to_json())}
        (folder / "run.json").write_text(json.dumps({**record, "project": {"images": 6}}))
        (folder / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in history))
        (folder / "checkpoint.safetensors").write_bytes(bytes(1000))
        if told is not None:
            writer = ScoreWriter(folder, name)
            for case_id, labels in told.items():
                writer.write(case_id, {"proposed": labels, HELD_OUT: labels}, held_out=by)
            writer.finish([], [])
        return name

    return add


def row(epoch, loss, dice, held_out=True):
    return {"epoch": epoch, "loss": loss, "val_dice": dice, "held_out": held_out}


@pytest.fixture
def study(make_project):
    """Six images, of which three are verified everywhere."""
    return make_project(6, trusted=3)


@pytest.fixture
def truths(study):
    with Project.open(study) as project:
        return {case.id: project.read_label(case) for case in project.cases[:3]}


def missed(truths, share):
    """The truth without the lowest rows of the foreground, so that about a share of it is missed."""
    found = {}
    for case_id, truth in truths.items():
        label = truth.copy()
        rows = np.flatnonzero((truth == 1).any(1))
        label[rows[len(rows) - round(share * len(rows)) :]] = 0
        found[case_id] = label
    return found


# ------------------------------------------------------------------ the table


def test_rows_say_what_each_run_is(study, add_run, truths):
    add_run(study, "run-001", 1, truths, history=[row(1, 0.9, 0.7), row(2, 0.5, 0.9), row(3, 0.4, 0.6)])
    add_run(study, "run-002", 2, method="noisy", history=[row(1, 0.8, 0.99, held_out=False)])
    with Project.open(study) as project:
        second, first = run_rows(project)
    assert (first.name, first.epochs_done, first.epochs, first.images) == ("run-001", 3, 3, 6)
    assert (first.dice, first.best_dice, first.best_epoch, first.fell) == (0.6, 0.9, 2, True)
    assert first.reviewed
    assert first.scored is not None
    assert "Quick look, 7 settings changed" in first.what
    assert second.what.startswith("Given masks only (a baseline), quick look")
    assert (second.dice, second.reviewed, second.scored, second.fell) == (None, False, None, False)
    assert first.disk.maps > 0
    assert first.disk.model >= 1000
    assert first.disk.total == first.disk.maps + first.disk.model


def test_disk_use_counts_every_byte(study, add_run, truths):
    add_run(study, "run-001", 1, truths)
    everything = sum(path.stat().st_size for path in (study / "runs").rglob("*") if path.is_file())
    assert total_use(study) == everything
    with Project.open(study) as project:
        assert disk_use(project.run()).total == everything


@pytest.mark.parametrize(
    ("size", "words"), [(0, "0 B"), (999, "999 B"), (1500, "2 kB"), (2.5e6, "2.5 MB"), (3e11, "300 GB")]
)
def test_sizes_in_words(size, words):
    assert run_files.in_words(int(size)) == words


def test_curves_and_differing_settings(study, add_run):
    add_run(study, "a", 1, history=[row(1, 0.9, 0.5), row(2, None, None)], learning_rate=0.01)
    add_run(study, "b", 2, history=[row(1, 0.8, 0.7, held_out=False)])
    with Project.open(study) as project:
        runs = [project.run(name, scored=False) for name in ("a", "b")]
        assert curves(runs[0]).loss == ((1, 0.9),)
        assert curves(runs[0]).dice == ((1, 0.5),)
        assert curves(runs[1]).dice == ()
        assert differing_settings(runs) == [("learning_rate", (0.01, 0.001))]


# ------------------------------------------------------------------ rename, note, delete


def test_a_renamed_run_is_found_by_both_names_and_keeps_its_note(study, add_run, truths):
    add_run(study, "run-001", 1, truths)
    with Project.open(study, write=True) as project:
        write_note(project, project.run("run-001"), " first try ")
        renamed = rename_run(project, project.run("run-001"), "before-summer")
        assert (renamed.name, renamed.names) == ("before-summer", ("before-summer", "run-001"))
        assert project.run("run-001").path == project.run("before-summer").path
        assert run_rows(project)[0].note == "first try"
        back = rename_run(project, renamed, "run-001")
        assert back.names == ("run-001", "before-summer")


@pytest.mark.parametrize("name", ["run-002", "was", "a/b", "..", ""])
def test_a_name_that_is_taken_or_cannot_be_is_refused(study, add_run, name):
    add_run(study, "run-001", 1)
    add_run(study, "was", 2)
    with Project.open(study, write=True) as project:
        rename_run(project, project.run("was", scored=False), "run-002")
        with pytest.raises(InputError):
            rename_run(project, project.run("run-001", scored=False), name)
        assert {run.name for run in project.runs()} == {"run-001", "run-002"}


def test_deleting_says_what_is_lost_and_leaves_nothing(study, add_run, truths):
    add_run(study, "run-001", 1, truths)
    add_run(study, "run-002", 2)
    (study / "runs" / ".deleted-run-000").mkdir()  # left by a deletion that was cut short
    with Project.open(study, write=True) as project:
        case = project.cases[5]
        patch = Patch(
            Box((0, 0), (2, 2)), np.zeros((2, 2), np.uint8), np.full((2, 2), int(Verified.CONFIRMED), np.uint8)
        )
        project.commit(Change(case.id, Action.KEEP, patch, region="a#1", run="run-001"))
        run = project.run("run-001")
        words = what_is_lost(project, run)
        assert "its model and settings and its scores" in words
        assert "1 decisions" in words
        assert delete_run(project, run) > 1000
        assert [run.name for run in project.runs()] == ["run-002"]
        assert project.decisions() == {"a#1": "keep"}
    assert [path.name for path in (study / "runs").iterdir()] == ["run-002"]


def test_a_run_in_use_by_a_process_stays(study, add_run, truths):
    add_run(study, "run-001", 1, truths)
    with Project.open(study, write=True) as project, FileLock(study / "runs/run-001/lock"):
        run = project.run()
        for act in (
            lambda: delete_run(project, run),
            lambda: rename_run(project, run, "other"),
            lambda: delete_maps(project, run),
        ):
            with pytest.raises(ProjectLockedError, match="by another process"):
                act()
        assert run_rows(project)[0].busy
        assert project.run().has_scores
    with Project.open(study) as project:
        assert not run_rows(project)[0].busy


def test_a_reader_changes_nothing(study, add_run, truths):
    add_run(study, "run-001", 1, truths)
    with Project.open(study) as project:
        run = project.run()
        for act in (
            lambda: delete_run(project, run),
            lambda: delete_maps(project, run),
            lambda: rename_run(project, run, "other"),
            lambda: write_note(project, run, "x"),
            lambda: use_run(project, run),
        ):
            with pytest.raises(ProjectReadOnlyError):
                act()


def test_maps_go_and_the_model_stays(study, add_run, truths):
    add_run(study, "run-001", 1, truths)
    with Project.open(study, write=True) as project:
        run = project.run()
        maps = disk_use(run).maps
        assert delete_maps(project, run) == maps
        assert not run.has_scores
        assert disk_use(run).maps == 0
        assert (run.path / "checkpoint.safetensors").is_file()


# ------------------------------------------------------------------ better or worse


def test_runs_are_compared_on_pixels_that_neither_learned_from(study, add_run, truths):
    add_run(study, "good", 1, missed(truths, 0.1))
    add_run(study, "bad", 2, missed(truths, 0.5))
    with Project.open(study) as project:
        good, bad = project.run("good"), project.run("bad")
        found = compare_runs(project, bad, good)
        truth = np.stack(list(truths.values()))
        told = np.stack(list(missed(truths, 0.5).values()))
        assert found.dice == pytest.approx(
            2 * np.sum((truth == 1) & (told == 1)) / (np.sum(truth == 1) + np.sum(told == 1))
        )
        assert (found.images, found.pixels, found.worse) == (3, truth.size, True)
        assert "bad is worse on your verified pixels" in found.sentence()
        other = compare_runs(project, good, bad)
        assert (other.dice, other.than_dice, other.worse) == (found.than_dice, found.dice, False)


def test_only_the_same_kind_of_opinion_is_compared(study, add_run, truths):
    add_run(study, "a", 1, truths)
    add_run(study, "b", 2, truths, by="proposed")
    with Project.open(study) as project:
        assert compare_runs(project, project.run("b"), project.run("a")) is None


def test_too_little_is_no_verdict(study, add_run, truths):
    one = dict(list(truths.items())[:1])
    add_run(study, "a", 1, one)
    add_run(study, "b", 2, one)
    with Project.open(study) as project:
        assert compare_runs(project, project.run("b"), project.run("a")) is None


def test_a_damaged_map_is_left_out_of_the_comparison(study, add_run, truths):
    for day, name in enumerate(("a", "b"), start=1):
        add_run(study, name, day, truths)
    first = next(iter(truths))
    (study / f"runs/a/scores.zarr/cases/{first:06d}/held_out/c.0.0").write_bytes(b"junk")
    with Project.open(study) as project:
        assert compare_runs(project, project.run("b"), project.run("a")).images == 2


# ------------------------------------------------------------------ which one is reviewed


def verdict(project, run, than, *, worse):
    runs = {each.name: each for each in project.runs()}
    generations = {"generation": runs[run].generation, "than_generation": runs[than].generation}
    numbers = {"dice": 0.81, "than_dice": 0.86 if worse else 0.7, "images": 4, "pixels": 4000}
    write_comparison(runs[run], Comparison(run=run, than=than, **generations, **numbers, worse=worse))


def reviewed(project):
    choice = choose(project.path, project.runs())
    return choice.run.name, None if choice.held_back is None else choice.held_back.run


def test_a_worse_run_does_not_take_over_until_it_is_asked_to(study, add_run, truths):
    for day, name in enumerate(("run-001", "run-002", "run-003"), start=1):
        add_run(study, name, day, truths)
    with Project.open(study, write=True) as project:
        assert reviewed(project) == ("run-003", None)
        verdict(project, "run-003", "run-002", worse=True)
        assert reviewed(project) == ("run-002", "run-003")
        assert project.run().name == "run-002"
        assert project.run(scored=False).name == "run-003"
        use_run(project, project.run("run-003"))
        assert reviewed(project) == ("run-003", None)
        add_run(study, "run-004", 4, truths)
        verdict(project, "run-004", "run-003", worse=False)
        assert reviewed(project) == ("run-004", None)


def test_a_choice_holds_until_a_newer_run_that_is_not_worse(study, add_run, truths):
    for day, name in enumerate(("run-001", "run-002"), start=1):
        add_run(study, name, day, truths)
    with Project.open(study, write=True) as project:
        use_run(project, project.run("run-001"))
        assert reviewed(project) == ("run-001", None)
        add_run(study, "run-003", 3, truths)
        verdict(project, "run-003", "run-001", worse=True)
        assert reviewed(project) == ("run-001", "run-003")
        rename_run(project, project.run("run-001"), "mine")
        assert reviewed(project) == ("mine", "run-003")
        delete_run(project, project.run("mine"))
        assert reviewed(project)[0] == "run-003"


def test_a_verdict_on_other_scores_counts_no_more(study, add_run, truths):
    for day, name in enumerate(("run-001", "run-002"), start=1):
        add_run(study, name, day, truths)
    with Project.open(study, write=True) as project:
        verdict(project, "run-002", "run-001", worse=True)
        assert reviewed(project)[0] == "run-001"
        ScoreWriter(study / "runs/run-002", "run-002").finish([], [])
        assert reviewed(project)[0] == "run-002"


# ------------------------------------------------------------------ the command


def test_the_command_lists_in_three_formats(study, add_run, truths, capsys):
    add_run(study, "run-001", 1, truths, history=[row(1, 0.9, 0.75)])
    assert main(["runs", str(study), "--format", "json"]) == 0
    (values,) = json.loads(capsys.readouterr().out)
    assert (values["name"], values["dice"], values["reviewed"]) == ("run-001", 0.75, True)
    assert main(["runs", str(study), "--format", "csv"]) == 0
    (line,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (line["name"], line["dice"]) == ("run-001", "0.75")
    assert main(["runs", str(study)]) == 0
    assert "run-001" in capsys.readouterr().out


def test_the_command_acts(study, add_run, truths, capsys):
    for day, name in enumerate(("run-001", "run-002"), start=1):
        add_run(study, name, day, missed(truths, 0.1 * day))
    run = lambda *words: main(["runs", str(study), *words])  # noqa: E731
    assert run("--use", "run-001") == 0
    assert run("--rename", "run-001", "first") == 0
    assert run("--note", "first", "a note") == 0
    capsys.readouterr()
    assert run("--compare", "run-002", "first", "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)["comparison"]["worse"] is True
    assert run("--delete-maps", "run-002") == 0
    assert run("--delete", "run-002") == 0
    capsys.readouterr()
    assert run("--format", "json") == 0
    (values,) = json.loads(capsys.readouterr().out)
    assert (values["name"], values["note"], values["reviewed"]) == ("first", "a note", True)
    assert run("--delete", "run-002") == 2
    assert "no run 'run-002'" in capsys.readouterr().err
    with Project.open(study, write=True):
        assert run("--delete", "first") == 2


@pytest.mark.parametrize("file", ["run.json", "ranking.json"])
def test_a_damaged_run_is_listed_and_can_be_deleted(study, add_run, truths, file, capsys):
    add_run(study, "run-001", 1, truths)
    add_run(study, "run-002", 2, truths)
    (study / "runs/run-002" / file).write_text("{")
    assert main(["runs", str(study), "--format", "json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert "run-002 is damaged" in rows["run-002"]["damage"]
    assert rows["run-001"]["damage"] == ""
    assert main(["info", str(study)]) == 0
    assert "run-002 is damaged" in capsys.readouterr().out
    assert main(["runs", str(study), "--delete", "run-002"]) == 0
    capsys.readouterr()
    assert main(["rank", str(study), "--by", "image"]) == 0


# ------------------------------------------------------------------ with real training


def test_a_trained_run_tells_what_it_has_not_learned_and_is_compared(make_project, tiny):
    from src_core.infer.score import score_run
    from src_core.store.run_choice import read_comparison
    from src_core.train import checkpoint
    from src_core.train.control import Control
    from src_core.train.run import train

    path = make_project(6, trusted=4)
    silent = lambda _: None  # noqa: E731
    for seed in (1, 2):
        train(path, None, tiny(epochs=1, seed=seed), listener=silent, control=Control())
        score_run(path, None, listener=silent)
    with Project.open(path) as project:
        second, first = project.runs()
        verified = [case.id for case in project.cases if project.verified_count(case)]
        assert len(verified) == 4
        for case in project.cases:
            wanted = HELD_OUT if case.id in verified else "proposed"
            assert (first.held_out_by(case.id), second.held_out_by(case.id)) == (wanted, wanted)
        assert checkpoint.learned_cases(checkpoint.read_header(first.path)) == frozenset(verified)
        assert read_comparison(first) is None
        found = read_comparison(second)
        assert (found.run, found.than, found.images) == ("run-002", "run-001", 4)
        assert project.run().name == ("run-001" if found.worse else "run-002")
