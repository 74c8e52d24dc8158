"""Clusters of ``dask.distributed``: reaching one, or starting processes on this machine."""

from __future__ import annotations

import logging
import re
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from micam_fast.core.errors import ClusterError
from micam_fast.core.extras import import_extra
from micam_fast.core.texts import count_of, first_line_of
from micam_fast.core.versions import deciding_libraries
from micam_fast.engine.onnx_runtime import available_threads

WAIT = 30.0
"""Seconds to wait for a scheduler, or for a worker."""
_TELL = 2.0
_LOCAL = re.compile(r"local:([1-9][0-9]{0,3})")
_ENVIRONMENT = "distributed.nanny.pre-spawn-environ"
_LOGGERS = ("distributed", "tornado", "asyncio")

Say = Callable[[str], None]
Facts = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Cluster:
    """A client, whose workers can do our work.

    Attributes
    ----------
    client
        Of ``dask.distributed``.
    address
        Of the scheduler, for messages.
    """

    client: Any
    address: str

    def threads(self) -> int:
        """Threads of all workers that there are now.

        Raises
        ------
        ClusterError
            If the scheduler does not answer.
        """
        try:
            return sum(self.client.nthreads().values())
        except self.errors as error:
            raise self.lost() from error

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """What a client raises when its scheduler is gone."""
        client = import_extra("distributed.client", extra="distributed", purpose="a cluster")
        return OSError, RuntimeError, ValueError, client.ClosedClientError

    def lost(self) -> ClusterError:
        """The error to raise when the scheduler is gone."""
        return ClusterError(f"the scheduler at {self.address} is gone")


def check_address(address: str) -> str:
    """Refuse what is no address of a scheduler.

    Raises
    ------
    ClusterError
        With what is expected.
    """
    if not (_LOCAL.fullmatch(address) or re.fullmatch(r"[a-z]+://.+", address)):
        raise ClusterError(
            f"unknown scheduler: {address!r} (must be like tcp://HOST:8786, or local:N for N "
            "processes on this machine)"
        )
    return address


@contextmanager
def open_cluster(address: str, *, threads: int | None, say: Say) -> Iterator[Cluster]:
    """Reach a scheduler, or start processes on this machine, which end with it.

    The address is ``"tcp://HOST:8786"``, or ``"local:N"`` for N processes that share the threads,
    by default all cores. `say` is told when workers are waited for. Dask's log is kept still: what
    matters comes as an error.

    Raises
    ------
    ClusterError
        If there is no scheduler, no worker, or one of other versions.
    MissingExtraError
        If Dask is not installed.
    """
    check_address(address)
    distributed = import_extra("distributed", extra="distributed", purpose="--scheduler")
    with ExitStack() as stack:
        stack.enter_context(_quiet())
        target: Any = address
        if (local := _LOCAL.fullmatch(address)) is not None:
            target = stack.enter_context(_local_cluster(distributed, int(local[1]), threads))
        client = stack.enter_context(_client(distributed, target, address, say))
        yield use_client(client, address, say=say)


def use_client(client: Any, address: str | None = None, *, say: Say = lambda _: None) -> Cluster:
    """A cluster by a client that is connected; its workers are waited for and looked at.

    Raises
    ------
    ClusterError
        If it is closed, has no worker, or one of other versions.
    """
    distributed = import_extra("distributed", extra="distributed", purpose="a client")
    if not isinstance(client, distributed.Client) or client.asynchronous:
        raise ClusterError(f"client must be a dask.distributed.Client that waits, not {client!r}")
    if client.status != "running":
        raise ClusterError(f"the client is {client.status}: connect it to a scheduler")
    cluster = Cluster(client, address or client.scheduler.address)
    _wait_for_workers(cluster, say)
    _check_versions(cluster, say)
    return cluster


@contextmanager
def _local_cluster(distributed: Any, count: int, threads: int | None) -> Iterator[Any]:
    each = max(1, (threads or available_threads()) // count)
    dask = import_extra("dask", extra="distributed", purpose="--scheduler")
    environment = dict(dask.config.get(_ENVIRONMENT))
    # With it each batch asks the system for its memory anew, which takes a quarter of the time.
    environment.pop("MALLOC_TRIM_THRESHOLD_", None)
    with (
        dask.config.set({_ENVIRONMENT: environment}),
        tempfile.TemporaryDirectory(prefix="micam-fast-") as folder,
        distributed.LocalCluster(
            n_workers=count,
            threads_per_worker=each,
            processes=True,
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
            local_directory=folder,
            preload=["micam_fast.engine.cluster.local_worker"],
            # Any free port, as two of these may run at a time; a sample that ends its worker is
            # found out by fewer deaths.
            scheduler_kwargs={"allowed_failures": 1, "dashboard": False},
        ) as cluster,
    ):
        yield cluster


@contextmanager
def _client(distributed: Any, target: Any, address: str, say: Say) -> Iterator[Any]:
    with warnings.catch_warnings():
        # Versions are checked below, and told in one line.
        warnings.simplefilter("ignore")
        waiting = f"waiting up to {WAIT:g} s for a scheduler at {address}"
        told = threading.Timer(_TELL, say, [waiting])
        told.start()
        try:
            client = distributed.Client(target, timeout=WAIT, set_as_default=False)
        except (OSError, ValueError, RuntimeError) as error:
            reason = first_line_of(error)
            said = "no answer" if reason.startswith("Timed out") else reason
            raise ClusterError(
                f"cannot reach a scheduler at {address}: {said}; start one with 'dask scheduler'"
            ) from None
        finally:
            told.cancel()
    try:
        yield client
    finally:
        client.close()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the log of Dask from burying our lines."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _wait_for_workers(cluster: Cluster, say: Say) -> None:
    told, end = False, time.monotonic() + WAIT
    while not cluster.threads():
        if not told:
            say(f"waiting up to {WAIT:g} s for workers at {cluster.address}")
            told = True
        if time.monotonic() > end:
            raise ClusterError(
                f"no worker at {cluster.address} after {WAIT:g} s; start one with 'dask worker "
                f"{cluster.address}'"
            )
        time.sleep(0.2)


def _check_versions(cluster: Cluster, say: Say) -> None:
    """Refuse workers that would give other bytes."""
    ask, mine = _facts(deciding_libraries()), tell_facts()
    try:
        found = cluster.client.run(ask, on_error="return")
    except cluster.errors as error:
        raise cluster.lost() from error
    strangers = 0
    for worker, theirs in found.items():
        if isinstance(theirs, Mapping):
            check_facts(worker, theirs, mine)
            strangers += theirs["processor"] != mine["processor"]
    if strangers:
        say(
            f"{count_of(strangers, 'worker')} of {len(found)} run on other processors than this "
            "one: the last digits may differ"
        )


def check_facts(worker: str, theirs: Facts, mine: Facts) -> None:
    """Compare what `tell_facts` tells on a worker and where the model is.

    Raises
    ------
    ClusterError
        If versions differ.
    """
    for name in ("python", *deciding_libraries()):
        if theirs[name] != mine[name]:
            there, here = theirs[name] or "not there", mine[name] or "not here"
            raise ClusterError(
                f"worker {worker} has another version of {name}: {there}, here {here}; results "
                "would differ, so install the same on all machines"
            )


def tell_facts() -> Facts:
    """Versions that decide over results, and the processor, of this process."""
    return _facts(deciding_libraries())()


def _facts(names: tuple[str, ...]) -> Callable[[], dict[str, Any]]:
    """A function that tells versions; pickled with its code, as a worker may not have this one."""

    def facts() -> dict[str, Any]:
        import platform
        from importlib.metadata import PackageNotFoundError, version

        found: dict[str, Any] = {"python": "{}.{}".format(*sys.version_info)}
        for name in names:
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                found[name] = None
        try:
            from llvmlite.binding import get_host_cpu_name

            found["processor"] = get_host_cpu_name()
        except ImportError:
            found["processor"] = platform.machine()
        return found

    return facts
