"""TFRecord files as samples, which TensorFlow writes and the package reads without it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from micam_fast._loops.checksums import sum_bytes
from micam_fast.core.layers import Axes, ModelInput
from micam_fast.samples import Sample, read_samples
from tests.helpers.tfrecord_files import numbered_file, record, serialized, write_file

GRAY = ModelInput("x", (None, 2, 3, 1), Axes(0, 3), "float32")
GRAY_FIRST = ModelInput("x", (None, 1, 2, 3), Axes(0, 1), "float32")
RGB = ModelInput("x", (None, 2, 3, 3), Axes(0, 3), "float32")
RGB_FIRST = ModelInput("x", (None, 3, 2, 3), Axes(0, 1), "float32")
OPEN_HEIGHT = ModelInput("x", (None, None, 3, 1), Axes(0, 3), "float32")
OPEN = ModelInput("x", (None, None, None, 1), Axes(0, 3), "float32")
STEPS = ModelInput("s", (None, 2, 3), Axes(0, 2), "float32")
STEPS_LAST = ModelInput("s", (None, 3, 2), Axes(0, 1), "float32")
FLAT = ModelInput("v", (None, 6), Axes(0, 1), "float32")


def read_all(path: object, spec: ModelInput = GRAY, **given: Any) -> list[Sample]:
    """What `read_samples` gives for a file."""
    return list(read_samples([str(path)], [spec], **given))


def errors(path: object, spec: ModelInput = GRAY) -> list[str]:
    """What is wrong with each sample, in order."""
    return [str(sample.error) for sample in read_all(path, spec)]


def write_side_file(path: Path, **content: Any) -> None:
    """What stands beside records."""
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.no_jit
@pytest.mark.parametrize(
    ("data", "crc"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_checksums_of_rfc_3720(data: bytes, crc: int) -> None:
    out = np.zeros(1, np.uint32)
    sum_bytes(np.frombuffer(data, np.uint8), out)
    assert out[0] == crc


class TestRecords:
    """Each record is a sample."""

    @pytest.mark.parametrize(
        ("spec", "shape", "moved"),
        [
            (GRAY, (2, 3, 1), None),
            (GRAY_FIRST, (2, 3, 1), (2, 0, 1)),
            (RGB, (2, 3, 3), None),
            (RGB_FIRST, (2, 3, 3), (2, 0, 1)),
            (OPEN_HEIGHT, (5, 3, 1), None),
            (STEPS, (2, 3), None),
            (STEPS_LAST, (2, 3), (1, 0)),
            (FLAT, (6,), None),
        ],
    )
    def test_in_the_models_layout(
        self, tmp_path: Path, spec: ModelInput, shape: tuple[int, ...], moved: Any
    ) -> None:
        arrays = np.random.default_rng(0).normal(size=(4, *shape)).astype(np.float32)
        path = write_file(tmp_path / "a.tfrecord", [record(each, 1) for each in arrays])
        found = read_all(path, spec)
        assert [sample.name for sample in found] == [f"a.tfrecord[{n}]" for n in range(4)]
        for sample, array in zip(found, arrays, strict=True):
            assert sample.error is None
            expected = array if moved is None else array.transpose(moved)
            np.testing.assert_array_equal(sample.arrays[spec.name], expected)

    @given(st.lists(st.floats(width=32), min_size=6, max_size=6), st.integers(-(2**63), 2**63 - 1))
    def test_every_float_and_label(
        self, tmp_path_factory: pytest.TempPathFactory, values: list[float], label: int
    ) -> None:
        path = tmp_path_factory.mktemp("records") / "a.tfrecord"
        (sample,) = read_all(write_file(path, [record(values, label)]))
        np.testing.assert_array_equal(sample.arrays["x"].ravel(), np.array(values, np.float32))
        assert (sample.name, sample.label) == ("a.tfrecord", str(label))

    def test_labels(self, tmp_path: Path) -> None:
        path = numbered_file(tmp_path / "a.tfrecord", range(4))
        assert [sample.label for sample in read_all(path)] == ["0", "1", "2", "0"]

    @pytest.mark.parametrize("name", ["a.tfrecord", "a-00001-of-00003.tfrecord", "a.tfrecords"])
    def test_labels_by_the_names_of_the_side_file(self, tmp_path: Path, name: str) -> None:
        path = numbered_file(tmp_path / name, range(3))
        write_side_file(tmp_path / "a.json", height=2, width=3, classes=["back", "satan"])
        assert [sample.label for sample in read_all(path)] == ["back", "satan", "2"]

    def test_records_without_a_label(self, tmp_path: Path) -> None:
        path = write_file(tmp_path / "a.tfrecord", [serialized(sample=[1.0] * 6)])
        (sample,) = read_all(path)
        assert (sample.label, sample.error) == (None, None)

    def test_open_sizes_by_the_side_file(self, tmp_path: Path) -> None:
        path = numbered_file(tmp_path / "a.tfrecord", [5])
        assert errors(path, OPEN) == [
            f"{path}, record 0: the sizes that input 'x' leaves open, of shape (any, any, 1), "
            "cannot be told from 6 values"
        ]
        write_side_file(tmp_path / "a.json", height=3, width=2)
        assert read_all(path, OPEN)[0].arrays["x"].shape == (3, 2, 1)

    def test_one_by_its_number(self, tmp_path: Path) -> None:
        path = numbered_file(tmp_path / "a.tfrecord", range(10))
        (sample,) = read_all(f"{path}:7")
        assert (sample.name, sample.label) == ("a.tfrecord[7]", "1")
        assert (sample.arrays["x"] == 7).all()

    def test_a_number_that_is_not_there(self, tmp_path: Path) -> None:
        path = numbered_file(tmp_path / "a.tfrecord", range(10))
        assert errors(f"{path}:10") == [f"{path} holds 10 records; there is no number 10"]

    def test_folders(self, tmp_path: Path) -> None:
        numbered_file(tmp_path / "a.tfrecord-00000-of-00001", [1])
        numbered_file(tmp_path / ".hidden.tfrecord", [1])
        write_side_file(tmp_path / "a.json")
        assert [each.name for each in read_all(tmp_path)] == ["a.tfrecord-00000-of-00001"]

    def test_records_are_read_one_by_one(self, tmp_path: Path) -> None:
        path = numbered_file(tmp_path / "a.tfrecord", range(2000))
        samples = read_samples([str(path)], [GRAY])
        assert next(samples).error is None
        path.write_bytes(path.read_bytes()[:-1])
        *_, last = samples
        assert "is broken, or cut off after 1999 records" in str(last.error)

    def test_without_tensorflow(self, tmp_path: Path) -> None:
        path = numbered_file(tmp_path / "a.tfrecord", [1])
        code = (
            "import sys; sys.modules['tensorflow'] = None\n"
            "from micam_fast.core.layers import Axes, ModelInput\n"
            "from micam_fast.samples import read_samples\n"
            "spec = ModelInput('x', (None, 2, 3, 1), Axes(0, 3), 'float32')\n"
            f"print(*read_samples([{str(path)!r}], [spec]))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert "error=None, label='1'" in done.stdout


class TestBrokenRecords:
    """Records that are none, and files that end too early."""

    def test_sizes_that_do_not_fit(self, tmp_path: Path) -> None:
        path = numbered_file(tmp_path / "a.tfrecord", [1, 2])
        spec = ModelInput("x", (None, 4, 4, 1), Axes(0, 3), "float32")
        assert errors(path, spec) == [
            f"{path}, record {n}: 6 values do not fit input 'x' of shape (4, 4, 1)"
            for n in range(2)
        ]

    def test_sizes_of_the_side_file_that_do_not_fit(self, tmp_path: Path) -> None:
        path = numbered_file(tmp_path / "a.tfrecord", [1])
        write_side_file(tmp_path / "a.json", height=3, width=2)
        assert errors(path) == [
            f"{path}, record 0: 3 x 2 x 1 values do not fit input 'x' of shape (2, 3, 1)"
        ]

    @pytest.mark.parametrize(
        ("broken", "said"),
        [
            (b"\xff\xff\xff", "is no tf.train.Example"),
            (serialized(label=[1]), "no feature 'sample'; its features are: label"),
            (serialized(), "no feature 'sample'; its features are: none"),
            (serialized(sample=[1, 2]), "'sample' is of kind int64_list, expected is float_list"),
            (
                serialized(sample=[1.0] * 6, label=[b"x"]),
                "'label' is of kind bytes_list, expected is int64_list",
            ),
            (serialized(sample=[1.0] * 6, label=[1, 2]), "2 labels, expected is 1"),
        ],
    )
    def test_a_broken_record_keeps_its_place(
        self, tmp_path: Path, broken: bytes, said: str
    ) -> None:
        good = record(np.ones(6), 1)
        path = write_file(tmp_path / "a.tfrecord", [good, broken, good])
        first, second, third = read_all(path)
        assert (first.error, third.error) == (None, None)
        assert second.name == "a.tfrecord[1]"
        assert f"{path}, record 1" in str(second.error)
        assert said in str(second.error)

    @pytest.mark.parametrize("size", [1, 11, 12, 30, -1])
    def test_a_file_that_ends_in_a_record(self, tmp_path: Path, size: int) -> None:
        path = numbered_file(tmp_path / "a.tfrecord", [1])
        path.write_bytes(path.read_bytes()[:size])
        assert errors(path) == [f"{path} is broken, or no TFRecord file at all"]

    @pytest.mark.parametrize("place", [0, 8, 20, -1])
    def test_a_changed_byte(self, tmp_path: Path, place: int) -> None:
        path = numbered_file(tmp_path / "a.tfrecord", [1, 2])
        content = bytearray(path.read_bytes())
        content[len(content) // 2 + place if place >= 0 else place] ^= 1
        path.write_bytes(content)
        good, bad = read_all(path)
        assert good.error is None
        assert str(bad.error) == f"{path} is broken, or cut off after 1 records"
        assert bad.name == "a.tfrecord"

    def test_an_empty_file(self, tmp_path: Path) -> None:
        (tmp_path / "a.tfrecord").touch()
        assert errors(tmp_path / "a.tfrecord") == [f"{tmp_path / 'a.tfrecord'} holds 0 records"]

    def test_no_file(self, tmp_path: Path) -> None:
        path = tmp_path / "a.tfrecord"
        assert errors(path) == [f"cannot read {path}: No such file or directory"]

    @pytest.mark.parametrize("content", ["[", "[]", '{"height": 3}', '{"classes": 3}'])
    def test_a_broken_side_file(self, tmp_path: Path, content: str) -> None:
        path = numbered_file(tmp_path / "a.tfrecord", [1])
        (tmp_path / "a.json").write_text(content)
        (said,) = errors(path)
        assert f"{tmp_path / 'a.json'} does not describe the records beside it" in said
