"""Digests: those that stand in manifests and in names of files must not change."""

from __future__ import annotations

from pathlib import Path

from micam_fast.core.digests import file_digest, short_digest


def test_known_digests(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert file_digest(tmp_path / "abc").startswith(
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9c"
    )
    assert short_digest("abc") == short_digest(b"abc") == "cf4ab791c62b8d2b2109c90275287816"
    assert short_digest("abc", 6) == "13c9497c2425"
    # A name of a file may hold what is no UTF-8.
    assert short_digest("\udcff") == short_digest(b"\xed\xb3\xbf")
