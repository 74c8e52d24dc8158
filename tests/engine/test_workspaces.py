"""Memory that workspaces share: who waits, and whose memory is given back."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from micam_fast.engine.workspaces import SharedMemory, Workspace

SOON = 10


class Watched(Workspace):
    """Counts how often it must let go of its memory."""

    released = 0

    def release(self) -> None:
        self.released += 1


def test_those_that_fit_together_run_together() -> None:
    shared, workspaces = SharedMemory(100), [Workspace(1), Workspace(1)]
    with shared.taken(workspaces[0], 60), shared.taken(workspaces[1], 40):
        pass


@pytest.mark.parametrize(("first", "second"), [(60, 41), (1000, 1), (1, 1000)])
def test_one_that_does_not_fit_beside_the_other_waits(first: int, second: int) -> None:
    shared, entered, order = SharedMemory(100), threading.Event(), []

    def wait(workspace: Workspace) -> None:
        entered.set()
        with shared.taken(workspace, second):
            order.append("second")

    with shared.taken(Workspace(1), first):
        waiting = threading.Thread(target=wait, args=(Workspace(1),))
        waiting.start()
        assert entered.wait(SOON)
        waiting.join(0.05)
        assert waiting.is_alive()
        order.append("first")
    waiting.join(SOON)
    assert order == ["first", "second"]


def test_an_idle_lane_keeps_its_memory_until_another_has_need_of_it() -> None:
    shared, idle, other = SharedMemory(100), Watched(1), Watched(1)
    for needed, released in ((50, 0), (51, 1), (100, 1)):
        with shared.taken(other, needed):
            assert idle.released == released
        if released == 0:
            with shared.taken(idle, 50):
                pass
    assert not other.released


def test_an_error_gives_the_memory_back() -> None:
    shared: Any = SharedMemory(100)
    with pytest.raises(ZeroDivisionError, match="inside"), shared.taken(Workspace(1), 100):
        raise ZeroDivisionError("inside")
    with shared.taken(Workspace(1), 100):
        pass
