"""What Dask is given: plugins that hand a run's model to every worker, and the task of a chunk.

All are made in functions, so that they are pickled with their code: a scheduler or a worker of a
shared cluster that has no micam-fast must not stumble over them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from micam_fast.core.extras import import_extra


def worker_plugin(run: str, content: bytes, facts: Mapping[str, Any]) -> Any:
    """A plugin that keeps a pickled `Shipment` on each worker as long as the run lasts."""
    distributed = import_extra("distributed", extra="distributed", purpose="a cluster")

    class Holder(distributed.WorkerPlugin):  # type: ignore[misc, name-defined]
        def __init__(self, run: str, content: bytes, facts: Mapping[str, Any]) -> None:
            self.run, self.content, self.facts = run, content, facts

        def setup(self, worker: Any) -> None:
            try:
                from micam_fast.engine.cluster.worker import hold
            except ImportError:
                # Its tasks tell so.
                return
            memory = worker.memory_manager.memory_limit
            threads = worker.state.nthreads
            hold(self.run, self.content, self.facts, worker.address, threads, memory)
            self.content = b""

        def teardown(self, worker: Any) -> None:
            try:
                from micam_fast.engine.cluster.worker import let_go
            except ImportError:
                return
            let_go(self.run)

    return Holder(run, content, facts)


def scheduler_plugin(run: str, client: str) -> Any:
    """A plugin that ends a run when its client is gone, however that came."""
    distributed = import_extra("distributed", extra="distributed", purpose="a cluster")

    class Watch(distributed.SchedulerPlugin):  # type: ignore[misc, name-defined]
        def __init__(self, run: str, client: str) -> None:
            self.run, self.client = run, client

        def remove_client(self, scheduler: Any, client: str) -> None:
            if client != self.client:
                return
            scheduler.plugins.pop(self.run, None)
            if self.run in scheduler.worker_plugins:
                scheduler.loop.add_callback(scheduler.unregister_worker_plugin, None, self.run)

    return Watch(run, client)


def chunk_task() -> Callable[[str, bytes], Any]:
    """A function that does a pickled chunk of a run on a worker; see `holding.work_on`."""

    def work(run: str, chunk: bytes) -> Any:
        from micam_fast.engine.cluster.worker import work_on

        return work_on(run, chunk)

    return work
