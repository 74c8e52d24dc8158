"""The compiled functions. They know arrays and tables, not models, and validate nothing."""

import atexit
import shutil
import tempfile

import numba


def _find_cache() -> None:
    """Give Numba a folder of its own where it finds none: installed read-only, without a home.

    The folder lives as long as the process, so everything is compiled anew each time; a lasting one
    in a shared place could be filled by others. ``NUMBA_CACHE_DIR`` names a better one.
    """

    def probe() -> None:
        """Stands in this folder, as the loops do."""

    try:
        numba.njit(cache=True)(probe)
    except RuntimeError:
        folder = tempfile.mkdtemp(prefix="micam-fast-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        setattr(numba.config, "CACHE_DIR", folder)  # noqa: B010 (not in its stub)


_find_cache()
