"""``.npy`` and ``.npz`` files: read row by row, never unpickled, never beyond what they promise."""

from __future__ import annotations

import io
import math
import warnings
import weakref
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.choices import ArrayLayout
from micam_fast.core.errors import SampleError
from micam_fast.core.input_files import open_input
from micam_fast.core.layers import ModelInput
from micam_fast.samples.arrays import Fit, check_kind, find_fit
from micam_fast.samples.bounds import BoundedFile, check_memory, list_names

_LONGEST_HEADER = 10_000
"""In characters, as in NumPy; parsing longer ones could take any time and memory."""
_MAGIC = b"\x93NUMPY"
_FOREIGN = "not in NumPy's format; pickles are never unpickled"
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What NumPy writes; the others expand as a whole, whatever the size that is promised."""
_LARGEST_DIRECTORY = 2**24
_BLOCK_BYTES, _PIECE_BYTES = 2**28, 2**23
"""Bytes of rows that are read together where a file spreads them, and of the file meanwhile."""


@dataclass(frozen=True)
class _NpyHeader:
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    offset: int
    """Where the numbers begin."""

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


class StoredRows:
    """Samples ``(n, ...)`` of an ``.npy`` file, each read when it is asked for.

    Read and not mapped, so that memory does not grow with the file, and that a file which is cut
    off meanwhile is an error and not the end of the process.
    """

    def __init__(
        self, path: Path, file: BinaryIO, header: _NpyHeader, fit: Fit, memory: int
    ) -> None:
        self._path, self._file, self._header, self._fit = path, file, header, fit
        self._block_bytes = min(_BLOCK_BYTES, memory // 4)
        # Rows of an array in Fortran order, and the number of the first.
        self._first = 0
        self._block: NDArray[Any] = np.empty(0)
        weakref.finalize(self, file.close)

    def __len__(self) -> int:
        return self._header.shape[0] if self._fit.batch else 1

    def __getitem__(self, index: int) -> NDArray[Any]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        with _array_errors(self._path):
            converted = self._fit.convert(self._read(index)[np.newaxis])
        assert converted is not None
        return np.asarray(converted[0])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the numbers."""
        return self._header.dtype

    @property
    def sample_bytes(self) -> int:
        """What one takes."""
        return self._header.nbytes // max(1, len(self))

    def _read(self, index: int) -> NDArray[Any]:
        header, shape = self._header, self._header.shape
        if not self._fit.batch:
            self._file.seek(header.offset)
            flat = _read_numbers(self._file, header.dtype, header.nbytes)
            return flat.reshape(shape, order="F" if header.fortran else "C")
        if not header.fortran:
            self._file.seek(header.offset + index * self.sample_bytes)
            return _read_numbers(self._file, header.dtype, self.sample_bytes).reshape(shape[1:])
        if not self._first <= index < self._first + len(self._block):
            self._block = np.empty(0)
            self._block = self._read_spread(index)
            self._first = index
        return np.asarray(self._block[index - self._first]).reshape(shape[1:], order="F")

    def _read_spread(self, first: int) -> NDArray[Any]:
        """Rows from a number on of an array in Fortran order, which are spread over its file.

        Each time the whole file is read, so it is a block of them.
        """
        header, count = self._header, len(self)
        rows = min(count - first, max(1, self._block_bytes // self.sample_bytes))
        cells = header.nbytes // (count * header.dtype.itemsize)
        block = np.empty((rows, cells), header.dtype)
        step = max(1, _PIECE_BYTES // (count * header.dtype.itemsize))
        self._file.seek(header.offset)
        for start in range(0, cells, step):
            stop = min(cells, start + step)
            nbytes = (stop - start) * count * header.dtype.itemsize
            read = _read_numbers(self._file, header.dtype, nbytes).reshape(stop - start, count)
            block[:, start:stop] = read[:, first : first + rows].T
        return block


Rows = NDArray[Any] | StoredRows
"""Samples ``(n, ...)`` in the model's layout, in memory or in a file."""


def open_rows(
    path: Path, spec: ModelInput, layout: ArrayLayout, memory: int
) -> tuple[StoredRows, str]:
    """The samples of an ``.npy`` file, and what was decided on their layout, in words.

    Raises
    ------
    SampleError
        If the file cannot be read or does not fit, or one sample takes more than `memory` bytes.
    """
    with _array_errors(path):
        file = open_input(path)
        try:
            header = _read_header(file, path)
            fit = find_fit(header.shape, header.dtype, spec, layout)
            rows = StoredRows(path, file, header, fit, memory)
            if len(rows) and not header.nbytes:
                raise SampleError(f"{path} holds no values: its shape is {header.shape}")
            check_memory(path, "one sample", rows.sample_bytes, memory)
        except BaseException:
            file.close()
            raise
    return rows, fit.note


def read_archive(path: Path, names: Collection[str], memory: int) -> dict[str, NDArray[Any]]:
    """The arrays of these names of an ``.npz`` file; or the only one that it holds.

    Raises
    ------
    SampleError
        If the file cannot be read, holds none of them, or they take more than `memory` bytes.
    """
    with _array_errors(path), open_input(path) as file, _archive(file, path) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
        members = {info.filename.removesuffix(".npy"): info for info in infos}
        wanted = [name for name in names if name in members]
        if not wanted and len(members) == 1:
            wanted = list(members)
        if not members:
            raise SampleError(f"{path.name} holds no array")
        if not wanted:
            held = f"{path.name} holds the arrays {list_names(members)}"
            raise SampleError(f"{held}; the model's inputs are {list_names(names)}")
        check_memory(path, "all arrays", sum(members[name].file_size for name in wanted), memory)
        return {name: _read_member(archive, members[name], path) for name in wanted}


def load_array(path: Path) -> NDArray[Any] | dict[str, NDArray[Any]]:
    """The array of an ``.npy`` file, or all arrays of an ``.npz``; nothing is unpickled.

    Raises
    ------
    SampleError
        If the file cannot be read or holds Python objects.
    """
    with _array_errors(path), open_input(path) as file:
        if path.suffix.lower() == ".npz":
            with _archive(file, path) as archive:
                return {
                    info.filename.removesuffix(".npy"): _read_member(archive, info, path)
                    for info in archive.infolist()
                }
        header = _read_header(file, path)
        order: Literal["F", "C"] = "F" if header.fortran else "C"
        return np.memmap(file, header.dtype, "r", header.offset, header.shape, order)


@contextmanager
def _array_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SampleError(f"cannot read {path}: {error.strerror or error}") from None
    except SampleError:
        raise
    except Exception as error:
        reason = f"broken or truncated: {str(error) or type(error).__name__}"
        raise _unreadable(path, reason) from None


def _archive(file: BinaryIO, path: Path) -> zipfile.ZipFile:
    """An open ``.npz``, of which no more than a bounded list of members was read."""
    if file.read(2) != b"PK":
        raise _unreadable(path)
    bounded: Any = BoundedFile(file, path, "a list of members", _LARGEST_DIRECTORY)
    archive = zipfile.ZipFile(bounded)
    bounded.allow(2**62, 2**62)
    return archive


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> NDArray[Any]:
    where = Path(f"{path}/{info.filename}")
    if info.compress_type not in _PACKINGS:
        raise SampleError(f"{where} is compressed in another way than NumPy's, deflate")
    with archive.open(info) as file:
        # zipfile never gives more than the size that the list of members promises.
        header = _read_header(file, where, info.file_size)
        flat = _read_numbers(file, header.dtype, header.nbytes)
        return flat.reshape(header.shape, order="F" if header.fortran else "C")


def _read_header(file: Any, path: Path, size: int | None = None) -> _NpyHeader:
    """What a file says of its array, which must be of numbers, and in a file of that size."""
    if size is None:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
    start = file.read(8)
    if not start.startswith(_MAGIC):
        raise _unreadable(path)
    # The header's length has two bytes in format 1.0, and four in the later ones.
    width = {1: 2, 2: 4, 3: 4}.get(start[6]) if len(start) == 8 else None
    if width is None:
        raise _unreadable(path)
    digits = file.read(width)
    length = int.from_bytes(digits, "little")
    if length > _LONGEST_HEADER:
        allowed = f"expected are {_LONGEST_HEADER} at most"
        raise _unreadable(path, f"a header of {length} bytes, {allowed}")
    text = file.read(length)
    with warnings.catch_warnings():
        # NumPy tells of files that Python 2 wrote.
        warnings.simplefilter("ignore")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(
            io.BytesIO(len(text).to_bytes(2, "little") + text)
        )
    if dtype.hasobject:
        raise SampleError(f"{path} holds Python objects, which are never unpickled; save numbers")
    check_kind(dtype)
    header = _NpyHeader(shape, fortran, dtype, len(start) + len(digits) + len(text))
    if any(isinstance(each, bool) or each < 0 for each in shape):
        raise _unreadable(path, f"its shape is {shape}")
    if header.offset + header.nbytes > size:
        held = f"{header.nbytes} bytes of numbers, and holds {size - header.offset}"
        raise _unreadable(path, f"broken or truncated: it promises {held}")
    return header


def _unreadable(path: Path, reason: str = _FOREIGN) -> SampleError:
    return SampleError(f"{path} is no readable array file ({reason})")


def _read_numbers(file: Any, dtype: np.dtype[Any], nbytes: int) -> NDArray[Any]:
    flat = np.empty(nbytes, np.uint8)
    done = 0
    while done < nbytes:
        count = file.readinto(flat[done:].data)
        if not count:
            raise EOFError(f"{nbytes - done} bytes are missing")
        done += count
    return flat.view(dtype)
