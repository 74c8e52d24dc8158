"""Samples as commands open them: lists on standard input, labels, arrays for further inputs."""

from __future__ import annotations

import io
import os
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import numpy as np
import pytest

from micam_fast.cli.opening import open_samples, read_labels
from micam_fast.cli.options import SampleOptions
from micam_fast.core.errors import SampleError
from micam_fast.samples import Sample
from micam_fast.samples.orders import Order, Permutation
from tests.helpers.samples import DEPTH, GRAY, IMAGE, OPEN_GRAY, numbered

GIVEN = SampleOptions(
    inputs=(), layout="auto", scale=1.0, mean=(0.0,), std=(1.0,), channel_order="rgb"
)


def opened(*paths: object, memory: int = 2**30, **given: Any) -> list[Sample]:
    """What a command gets of these words, for a model of one input or of two."""
    inputs = [IMAGE, DEPTH] if given.get("inputs") else [GRAY]
    permutation = given.pop("permutation", None)
    model: Any = SimpleNamespace(inputs=inputs, memory=memory)
    return list(
        open_samples(model, [str(path) for path in paths], replace(GIVEN, **given), permutation)
    )


@pytest.fixture
def one(tmp_path: Path) -> Path:
    """A file of one sample."""
    np.save(tmp_path / "a.npy", numbered(1, 8, 6))
    return tmp_path / "a.npy"


class TestLists:
    """Paths on standard input."""

    @staticmethod
    def listed(monkeypatch: pytest.MonkeyPatch, content: bytes) -> list[Sample]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        return opened("-")

    def test_any_bytes_are_a_name(
        self, tmp_path: Path, one: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        odd = os.fsencode(tmp_path) + b"/\xff\x1b.npy"
        one.rename(os.fsdecode(odd))
        good, missing, nul = self.listed(
            monkeypatch, odd + b"\r\n\n  \n" + odd + b"x\n" + b"a\0b\n"
        )
        assert good.error is None
        assert os.fsencode(good.path) == odd
        for sample in (good, missing, nul):
            # Whatever is written of them can be.
            f"{sample.name} {sample.error}".encode()
        assert good.name == "\\udcff\x1b.npy"
        assert "No such file" in str(missing.error)
        assert "cannot read a\0b: no file can have such a name" in str(nul.error)

    @pytest.mark.parametrize("content", [bytes(10**6), b"a.npy\n" + b"x" * 10**6])
    def test_what_is_no_list_ends_the_run(
        self, monkeypatch: pytest.MonkeyPatch, content: bytes
    ) -> None:
        number = 1 + content.count(b"\n")
        with pytest.raises(
            SampleError, match=rf"standard input is no list of paths.*line {number} has more than"
        ):
            self.listed(monkeypatch, content)

    def test_a_list_is_read_as_it_comes(self, one: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        source, sink = os.pipe()
        monkeypatch.setattr(sys, "stdin", os.fdopen(source))
        model: Any = SimpleNamespace(inputs=[GRAY], memory=2**30)
        samples = open_samples(model, ["-"], GIVEN)
        for _ in range(2):
            os.write(sink, f"{one}\n".encode())
            assert next(samples).error is None
        os.close(sink)
        assert next(samples, None) is None
        sys.stdin.close()


class TestLabels:
    """A label a line."""

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_lines(self, tmp_path: Path, end: str) -> None:
        path = tmp_path / "labels"
        path.write_bytes(end.join(["\ufeffzero", "", "zwei: \u00e9", "last"]).encode())
        labels = read_labels(path)
        assert list(labels) == [*labels] == ["zero", "", "zwei: \u00e9", "last"]
        assert (len(labels), labels[-1], labels[1:3]) == (4, "last", ["", "zwei: \u00e9"])
        with pytest.raises(IndexError, match="out of range"):
            _ = labels[4]
        path.write_bytes(path.read_bytes() + end.encode())
        assert list(read_labels(path)) == list(labels)

    def test_none(self, tmp_path: Path) -> None:
        assert list(read_labels(None)) == []
        (tmp_path / "labels").touch()
        assert list(read_labels(tmp_path / "labels")) == []

    def test_many_take_little_memory(self, tmp_path: Path) -> None:
        path = tmp_path / "labels"
        count = 100_000
        path.write_text("".join(f"class {number % 10}\n" for number in range(count)))
        tracemalloc.start()
        try:
            labels = read_labels(path)
            held, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert (len(labels), labels[count - 1]) == (count, "class 9")
        # Eight bytes of text and eight for its place.
        assert held < 18 * count
        assert peak < 40 * count

    def test_what_is_no_list(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "labels"
        os.mkfifo(path)
        with pytest.raises(click.ClickException, match="it is a pipe, and no regular file"):
            read_labels(path)
        path.unlink()
        path.write_bytes(b"\xe9\n")
        with pytest.raises(click.ClickException, match="it is no UTF-8 text"):
            read_labels(path)
        monkeypatch.setattr("micam_fast.core.input_files.LIST_LIMIT", 2**20)
        path.write_bytes(bytes(2**20 + 1))
        with pytest.raises(click.ClickException, match="it is larger than 1 MiB"):
            read_labels(path)


def test_another_order_keeps_the_origin(one: Path) -> None:
    np.save(one, numbered(2, 1, 8, 6))
    permutation = Permutation(rows=Order("file", np.arange(8)[::-1]))
    _, second = opened(one, permutation=permutation)
    assert (second.name, second.path, second.number) == (
        "a.npy[1], rows by file",
        str(one),
        1,
    )


def test_further_inputs_are_read_row_by_row(tmp_path: Path) -> None:
    """They are closed with the samples; an open file would be a warning."""
    count = 40
    np.save(tmp_path / "image.npy", numbered(count, 1, 8, 6))
    np.save(tmp_path / "depth.npy", numbered(count, 2, 8, 6))
    given = f"depth={tmp_path / 'depth.npy'}"
    samples = opened(tmp_path / "image.npy", inputs=(given,))
    assert len(samples) == count
    np.testing.assert_array_equal(samples[7].arrays["depth"], numbered(count, 2, 8, 6)[7])
    with pytest.raises(click.UsageError, match=r"an \.npy file is expected"):
        opened(tmp_path / "image.npy", inputs=("depth=a.npz",))


def test_the_bound_of_the_model_counts(tmp_path: Path, one: Path) -> None:
    """But for a very small one, which leaves the sizes of batches and steps to the model."""
    assert [sample.error for sample in opened(one, memory=1)] == [None]
    with (tmp_path / "large.npy").open("wb") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": (2**11, 2**12 + 1)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 2**26 + 2**14)
    model: Any = SimpleNamespace(inputs=[OPEN_GRAY], memory=1)
    (sample,) = open_samples(model, [str(tmp_path / "large.npy")], GIVEN)
    assert "one sample would take 64 MiB of memory, the bound is 64 MiB" in str(sample.error)
