"""Layouts that an earlier process computed, by Graphviz' input and by the program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from micam_fast.core.json_records import try_record
from micam_fast.core.plan_cache import PlanFiles, plan_key
from micam_fast.diagrams.dot import EdgeSpec, NodeSpec
from micam_fast.diagrams.layout import lay_out
from micam_fast.diagrams.places import DiagramLayout


def layouts_by(files: PlanFiles) -> Callable[..., DiagramLayout]:
    """A `lay_out` that keeps what Graphviz said, and asks it but once."""

    def lay_out_once(
        nodes: Sequence[NodeSpec], edges: Sequence[EdgeSpec], *, rankdir: str, engine: Path
    ) -> DiagramLayout:
        try:
            program = engine.stat()
        except OSError:
            # It has just gone; running it tells so.
            return lay_out(nodes, edges, rankdir=rankdir, engine=engine)
        identity = str(engine.resolve()), program.st_size, program.st_mtime_ns
        asked = repr((identity, rankdir, list(nodes), list(edges)))
        key = plan_key(b"layout", asked.encode())
        found: DiagramLayout | None = try_record(DiagramLayout, files.load(key))
        if found is not None:
            return found
        found = lay_out(nodes, edges, rankdir=rankdir, engine=engine)
        files.keep(key, found)
        return found

    return lay_out_once
