"""The command line ``micam-fast``."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

import click

from micam_fast.cli.commands.check import check
from micam_fast.cli.commands.demo import run_demo
from micam_fast.cli.commands.diff import diff
from micam_fast.cli.commands.evaluate import evaluate
from micam_fast.cli.commands.export import export
from micam_fast.cli.commands.features import features
from micam_fast.cli.commands.grids import grids
from micam_fast.cli.commands.guide import guide
from micam_fast.cli.commands.layers import show_layers
from micam_fast.cli.commands.plot import plot
from micam_fast.cli.commands.stats import stats
from micam_fast.cli.commands.tfrecord import tfrecord
from micam_fast.cli.commands.train import train
from micam_fast.cli.commands.view import view
from micam_fast.cli.common import Failure
from micam_fast.core.errors import MicamError


class _CommandGroup(click.Group):
    """Turns our errors into one line and exit code 2; lists commands in the order of a tour."""

    def invoke(self, ctx: click.Context) -> Any:
        _open_closed_streams()
        for stream in (sys.stdout, sys.stderr):
            # Names hold any character, also where the terminal's encoding has few.
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        try:
            return super().invoke(ctx)
        except MicamError as error:
            raise Failure(str(error)) from None
        except BrokenPipeError:
            # Whoever read our output has left.
            raise
        except OSError as error:
            raise Failure(error.strerror or str(error)) from None

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


def _open_closed_streams() -> None:
    """Have all three standard streams.

    Else a file of ours gets the number of one, and with it what libraries print.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115
            setattr(sys, name, stream)


@click.group(cls=_CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="micam-fast", prog_name="micam-fast")
def main() -> None:
    """Show what every layer of a CNN extracts from a sample, in one picture.

    A model is an ONNX, Keras or .pt2 file. 'micam-fast demo' shows the result on real digits.
    """


_COMMANDS = (
    plot, view, diff, features, grids, stats, check, show_layers, run_demo,
    export, tfrecord, train, evaluate, guide,
)  # fmt: skip
for _command in _COMMANDS:
    main.add_command(_command)
