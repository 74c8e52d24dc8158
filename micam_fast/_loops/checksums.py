"""CRC-32C (Castagnoli), the checksum of TFRecord files."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

_POLYNOMIAL = np.uint32(0x82F63B78)
"""Castagnoli's, bits reversed: RFC 3720, appendix B.4."""


def _make_table() -> NDArray[np.uint32]:
    """What each value of the lowest byte does to the other three."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, table >> np.uint32(1) ^ _POLYNOMIAL, table >> np.uint32(1))
    return table.astype(np.uint32)


_TABLE = _make_table()


@njit(cache=True, nogil=True)
def sum_bytes(data: NDArray[np.uint8], out: NDArray[np.uint32]) -> None:
    """Compute the CRC-32C of bytes.

    Parameters
    ----------
    data
        ``(n,)``.
    out
        ``(1,)``, written.
    """
    crc = np.uint32(0xFFFFFFFF)
    for i in range(len(data)):
        crc = _TABLE[(crc ^ data[i]) & np.uint32(0xFF)] ^ (crc >> np.uint32(8))
    out[0] = crc ^ np.uint32(0xFFFFFFFF)
