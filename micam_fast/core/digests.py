"""Digests of files and texts: those that manifests record, and those that stand in names."""

from __future__ import annotations

import hashlib
from pathlib import Path


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal digits.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def short_digest(content: str | bytes, size: int = 16) -> str:
    """BLAKE2b of a text in UTF-8 or of bytes: `size` bytes in hexadecimal digits, for a name."""
    if isinstance(content, str):
        content = content.encode(errors="surrogatepass")
    return hashlib.blake2b(content, digest_size=size).hexdigest()
