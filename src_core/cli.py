"""The command ``metadcseg``: parses, calls the library, prints.

Progress goes to stderr, results to stdout. Exit status: 0 done; 1 the work failed; 2 bad usage or bad input;
130 interrupted, with everything up to there kept.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from typing import TYPE_CHECKING

from src_core import __version__
from src_core.config import PRESETS
from src_core.errors import MetaDCSegError, storage_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

logger = logging.getLogger(__name__)

INTERRUPTED = 130


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; each sets ``run``, the function that carries it out."""
    parser = argparse.ArgumentParser(
        prog="metadcseg",
        description="Find and fix the wrong pixels in segmentation masks.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument("-v", "--verbose", action="count", default=0, help="say more on stderr (twice: still more)")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add in (
        _add_create,
        _add_images,
        _add_train,
        _add_score,
        _add_import,
        _add_opinion,
        _add_rank,
        _add_decide,
        _add_simulate,
        _add_estimate,
        _add_second_rater,
        _add_export,
        _add_report,
        _add_predict,
        _add_runs,
        _add_export_model,
        _add_info,
        _add_window,
    ):
        add(commands)
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, help: str
) -> argparse.ArgumentParser:
    return commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".", allow_abbrev=False)


def _lazily(module: str, name: str) -> Callable[[argparse.Namespace], int]:
    """A command that is imported when it is used, so that light ones start fast."""

    def run(arguments: argparse.Namespace) -> int:
        from importlib import import_module

        status: int = getattr(import_module(module), name)(arguments)
        return status

    return run


def _add_create(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "create", "make a project from images and masks of the same stem")
    parser.add_argument("project", metavar="PROJECT", help="folder to make; .metadcseg is appended")
    _add_places(parser)
    parser.add_argument("--instances", action="store_true", help="masks number objects: all of them are one class")
    parser.add_argument("--classes", metavar="FILE", help="CSV 'value,name[,color]' or JSON; 'ignore' means unlabelled")
    parser.add_argument("--author", metavar="NAME", help="who is written into the record (default: login name)")
    parser.set_defaults(run=_lazily("src_core.commands.data", "create"))


def _add_places(parser: argparse.ArgumentParser) -> None:
    layouts = "folder of images, pattern with *, CSV 'image,mask[,clean][,name]', or nnU-Net or Decathlon folder"
    parser.add_argument("--images", required=True, metavar="DIR", help=layouts)
    parser.add_argument("--masks", metavar="DIR", help="folder or pattern of their masks")
    parser.add_argument("--clean-masks", metavar="DIR", help="trusted masks of some images; those count as verified")
    words = "take images without a mask, too; the trained model proposes one"
    parser.add_argument("--unlabelled", "--allow-missing-masks", action="store_true", help=words)


def _add_images(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "add", "add images and masks to a project: all of them, or none")
    parser.add_argument("project", metavar="PROJECT", help="its classes and mask values hold for them, too")
    _add_places(parser)
    parser.add_argument("--skip-existing", action="store_true", help="leave out images that it has by name")
    parser.add_argument("--author", metavar="NAME", help="who is written into the record (default: login name)")
    parser.set_defaults(run=_lazily("src_core.commands.adding", "add"))


def _add_train(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "train", "train a run; what is verified meanwhile is taken up at the next epoch")
    parser.add_argument("project", metavar="PROJECT")
    parser.add_argument("--preset", choices=sorted(PRESETS), help="default: standard")
    parser.add_argument("--settings", metavar="FILE", help="a run.json: train as that run was; other options go first")
    parser.add_argument("--suggest", action="store_true", help="fit the preset to images and machine, and say why")
    methods = ("metadcseg", "l2b", "teacher", "mixed", "finetune", "noisy", "clean")
    parser.add_argument("--method", choices=methods, help="metadcseg, or a baseline to compare it with")
    parser.add_argument("--epochs", type=int, metavar="N")
    parser.add_argument("--dimensions", choices=("auto", "2d", "2.5d", "3d"), help="how volumes are learned")
    parser.add_argument("--tile", choices=("auto", "on", "off"), help="work on large images in tiles, not shrunk")
    parser.add_argument("--seed", type=int, metavar="N")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"))
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads; 0 leaves it to the library")
    # torchrun takes --run for an option of its own, hence the second name
    words = "name of the run (default: the next free one)"
    parser.add_argument("--run", "--run-name", dest="run_name", metavar="NAME", help=words)
    parser.add_argument("--resume", action="store_true", help="go on from the run's last checkpoint")
    words = "a new run from the model of a finished one, with what was verified since"
    parser.add_argument("--from", dest="start_from", metavar="RUN", help=words)
    parser.add_argument("--dask", metavar="ADDRESS", help="train on a worker of the Dask scheduler at this address")
    parser.set_defaults(run=_lazily("src_core.commands.learning", "train_command"))


def _add_score(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "score", "score every image with a trained run; of a scored one, what was added since")
    parser.add_argument("project", metavar="PROJECT")
    parser.add_argument("--run", dest="run_name", metavar="NAME", help="default: the newest")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    parser.add_argument("--threads", type=int, default=0, metavar="N")
    parser.add_argument("--dask", metavar="ADDRESS", help="spread the images over workers of the Dask scheduler there")
    words = "score images anew that have scores, also where others have none yet"
    parser.add_argument("--all", dest="everything", action="store_true", help=words)
    parser.set_defaults(run=_lazily("src_core.commands.learning", "score_command"))


def _add_import(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "import-scores", "make a run of scores that another program made; no training")
    parser.add_argument("project", metavar="PROJECT")
    kinds = "folder with a .npz, .npy, .tif, .png or NIfTI file an image, a .npz file, or a .zarr store"
    parser.add_argument("--probabilities", metavar="PATH", help=f"of all classes, background first: {kinds}")
    parser.add_argument("--trust", metavar="PATH", help="how far the given mask is right at each pixel, 0 to 1")
    parser.add_argument("--uncertainty", metavar="PATH", help="0 to 1 (default: entropy of the probabilities)")
    parser.add_argument("--proposed", metavar="DIR", help="masks to propose (default: the likeliest class)")
    parser.add_argument("--run", dest="run_name", metavar="NAME", default="imported", help="default: imported")
    parser.add_argument("--allow-missing", action="store_true", help="images without a file are left out")
    parser.set_defaults(run=_lazily("src_core.commands.opinion", "import_command"))


def _add_opinion(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "second-opinion", "ask cleanlab about the labels of a scored run, and compare")
    parser.add_argument("project", metavar="PROJECT")
    parser.add_argument("--run", dest="run_name", metavar="NAME", help="default: the newest that has scores")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.set_defaults(run=_lazily("src_core.commands.opinion", "opinion_command"))


def _add_rank(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "rank", "list the most suspect images or regions")
    parser.add_argument("project", metavar="PROJECT")
    parser.add_argument("--by", choices=("image", "region"), required=True)
    parser.add_argument("--kind", choices=("error", "ambiguous", "unlabelled", "all"), default="all", help="of regions")
    parser.add_argument("--top", type=int, metavar="K", help="only the first K")
    parser.add_argument("--format", choices=("table", "csv", "json"), default="table")
    parser.add_argument("--run", dest="run_name", metavar="NAME", help="default: the newest that has scores")
    parser.set_defaults(run=_lazily("src_core.commands.ranking", "rank"))


def _add_decide(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "decide", "take decisions on regions from a file, as a review in the window would")
    parser.add_argument("project", metavar="PROJECT")
    parser.add_argument("--decisions", required=True, metavar="FILE", help="CSV region,decision (accept, keep or skip)")
    parser.add_argument("--run", dest="run_name", metavar="NAME", help="default: the newest that has scores")
    parser.add_argument("--author", metavar="NAME", help="who is written into the record (default: login name)")
    parser.set_defaults(run=_lazily("src_core.commands.review", "decide"))


def _add_simulate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "simulate", "what a review would bring, by an annotator who knows the true masks")
    parser.add_argument("project", metavar="PROJECT", help="stays as it is; a copy is reviewed")
    parser.add_argument("--truth", required=True, metavar="DIR", help="folder of true masks, one for every image")
    orders = ("trust", "learned", "random", "cleanlab", "entropy")
    parser.add_argument("--order", choices=orders, default="trust", help="of the regions; default: trust")
    parser.add_argument("--regions", type=int, metavar="N", help="only the first N")
    parser.add_argument("--sloppiness", type=float, default=0.0, metavar="P", help="chance of a wrong decision")
    words = "never paint: accept or keep, whichever has more right pixels"
    parser.add_argument("--no-painting", dest="paints", action="store_false", help=words)
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--format", choices=("csv", "json"), default="csv")
    parser.add_argument("--run", dest="run_name", metavar="NAME", help="default: the newest that has scores")
    parser.set_defaults(run=_lazily("src_core.commands.simulate", "simulate"))


def _add_estimate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "estimate", "how many wrong pixels are left, and whether to stop")
    parser.add_argument("project", metavar="PROJECT")
    parser.add_argument("--last", type=int, default=20, metavar="N", help="decisions that the hit rate is told of")
    parser.add_argument("--limit", type=float, default=1.0, metavar="PERCENT", help="of the foreground; default: 1")
    parser.add_argument("--hit-limit", type=float, default=10.0, metavar="PERCENT", help="of the last N; default: 10")
    parser.add_argument("--format", choices=("text", "json", "csv"), default="text", help="json, csv: with the curve")
    parser.add_argument("--run", dest="run_name", metavar="NAME", help="default: the newest that has scores")
    parser.set_defaults(run=_lazily("src_core.commands.stopping", "estimate_command"))
    audit = _command(commands, "audit", "draw regions at random, to tell what is left without leaning on trust")
    audit.add_argument("project", metavar="PROJECT")
    audit.add_argument("--draws", type=int, default=20, metavar="N", help="default: 20")
    audit.add_argument("--seed", type=int, default=0, metavar="N")
    audit.add_argument("--anew", action="store_true", help="draw again, although the last one is not finished")
    audit.add_argument("--run", dest="run_name", metavar="NAME", help="default: the newest that has scores")
    audit.add_argument("--author", metavar="NAME", help="who is written into the record (default: login name)")
    audit.set_defaults(run=_lazily("src_core.commands.stopping", "audit_command"))


def _add_second_rater(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    second = _command(commands, "second-rater", "another person judges decided regions anew, blind")
    steps = second.add_subparsers(title="steps", required=True, metavar="STEP")
    start = _command(steps, "start", "draw regions and decoys for a second rater, and list them")
    start.add_argument("project", metavar="PROJECT")
    start.add_argument("--author", required=True, metavar="NAME", help="the second rater")
    start.add_argument("--share", type=float, default=0.1, metavar="P", help="of the decided regions; default: 0.1")
    start.add_argument("--decoys", type=float, default=0.2, metavar="P", help="among what is shown; default: 0.2")
    start.add_argument("--seed", type=int, default=0, metavar="N")
    start.add_argument("--same-person", action="store_true", help="let a person judge their own decisions")
    start.add_argument("--anew", action="store_true", help="draw again, although the last sample is not finished")
    start.set_defaults(run=_lazily("src_core.commands.second_rater", "start"))
    answer = _command(steps, "answer", "take a second rater's answers from a file")
    answer.add_argument("project", metavar="PROJECT")
    answer.add_argument("--author", required=True, metavar="NAME", help="the second rater")
    answer.add_argument("--decisions", required=True, metavar="FILE", help="CSV item,decision (accept, keep, unsure)")
    answer.set_defaults(run=_lazily("src_core.commands.second_rater", "answer"))
    agreement = _command(commands, "agreement", "how far two raters agree, and how often decoys were taken for real")
    agreement.add_argument("project", metavar="PROJECT")
    agreement.add_argument("--format", choices=("text", "json"), default="text")
    agreement.set_defaults(run=_lazily("src_core.commands.second_rater", "agreement_command"))


def _add_export(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "export", "write cleaned masks and maps as files")
    parser.add_argument("project", metavar="PROJECT")
    parser.add_argument("directory", metavar="DIR")
    parser.add_argument(
        "--what",
        required=True,
        metavar="LIST",
        help="comma list of cleaned,proposed,trust,alpha,beta,uncertainty,cleanlab,band,provenance",
    )
    parser.add_argument("--identifiers", action="store_true", help="leave in masks of DICOM who they are of")
    parser.add_argument("--format", default="same", help="same (default), nifti, nrrd, ome-zarr, tiff, png or npy")
    parser.add_argument("--run", dest="run_name", metavar="NAME")
    parser.set_defaults(run=_lazily("src_core.commands.data", "export_command"))


def _add_report(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "report", "write what was found and changed as a page to read, or as JSON")
    parser.add_argument("project", metavar="PROJECT", help="is only read, also while somebody works on it")
    parser.add_argument("file", metavar="OUT", help="OUT.html: one page with pictures; OUT.json: the same figures")
    parser.add_argument("--run", dest="run_name", metavar="NAME", help="default: the newest that has scores")
    parser.add_argument("--pictures", type=int, default=12, metavar="N", help="of the N most changed images (12)")
    parser.add_argument("--sources", action="store_true", help="name the source files, too")
    parser.set_defaults(run=_lazily("src_core.commands.report", "report"))


def _add_predict(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "predict", "run the trained model on new images")
    parser.add_argument("project", metavar="PROJECT")
    parser.add_argument("directory", metavar="DIR", help="where the masks are written")
    parser.add_argument("--images", required=True, metavar="DIR", help="folder of new images")
    parser.add_argument("--run", dest="run_name", metavar="NAME", help="default: the one reviewed with")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    parser.set_defaults(run=_lazily("src_core.commands.learning", "predict_command"))


def _add_runs(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "runs", "list the training runs, compare, rename or delete them")
    parser.add_argument("project", metavar="PROJECT")
    parser.add_argument("--format", choices=("table", "csv", "json"), default="table")
    act = parser.add_mutually_exclusive_group()
    act.add_argument("--use", metavar="RUN", help="review the scores of this run")
    act.add_argument("--compare", nargs=2, metavar=("A", "B"), help="on verified pixels that neither learned from")
    act.add_argument("--rename", nargs=2, metavar=("A", "B"), help="call run A B")
    act.add_argument("--note", nargs=2, metavar=("RUN", "TEXT"), help="keep a note with a run")
    act.add_argument("--delete", metavar="RUN", help="delete a run for good; masks and decisions stay")
    act.add_argument("--delete-maps", metavar="RUN", help="delete its scores; 'metadcseg score' makes them again")
    parser.set_defaults(run=_lazily("src_core.commands.runs", "runs_command"))


def _add_export_model(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "export-model", "write the trained network for use elsewhere")
    parser.add_argument("project", metavar="PROJECT")
    parser.add_argument("directory", metavar="DIR", help="folder to make; it may not hold anything yet")
    formats = ("onnx", "torchscript", "bioimageio", "safetensors")
    parser.add_argument("--format", choices=formats, default="onnx", help="default: onnx")
    parser.add_argument("--run", dest="run_name", metavar="NAME", help="default: the one reviewed with")
    parser.set_defaults(run=_lazily("src_core.commands.models", "export_model_command"))


def _add_info(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "info", "what is in a project")
    parser.add_argument("project", metavar="PROJECT")
    parser.set_defaults(run=_lazily("src_core.commands.data", "info"))
    verify = _command(commands, "verify", "is a project whole: plays its record back and compares")
    verify.add_argument("project", metavar="PROJECT")
    verify.add_argument("--repair", action="store_true", help="first make masks that are damaged anew from the record")
    verify.set_defaults(run=_lazily("src_core.commands.review", "verify"))


def _add_window(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    review = _command(commands, "review", "open napari on a project")
    review.add_argument("project", metavar="PROJECT")
    review.set_defaults(run=_lazily("src_core.commands.window", "review"))
    demo = _command(commands, "demo", "the whole loop on sample data")
    demo.add_argument("--out", metavar="DIR", default="demo-output")
    demo.add_argument("--headless", action="store_true", help="play a scripted review and leave screenshots and masks")
    demo.set_defaults(run=_lazily("src_core.commands.window", "demo"))


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns
    -------
    int
        The exit status.
    """
    arguments = build_parser().parse_args(argv)
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(arguments.verbose, 2)]
    logging.basicConfig(level=level, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    try:
        with storage_errors("the output", "What was finished before is kept."):
            status: int = arguments.run(arguments)
            sys.stdout.flush()
            return status
    except MetaDCSegError as error:
        print(f"metadcseg: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("metadcseg: interrupted; everything up to here is kept.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        logger.debug("The command failed.", exc_info=True)
        print(
            f"metadcseg: unexpected failure, {type(error).__name__}: {error}; run again with -vv for the details.",
            file=sys.stderr,
        )
        return 1


if __name__ == "__main__":
    sys.exit(main())
