"""Many machines: a model's work in chunks of samples on the workers of ``dask.distributed``.

The caller reads the samples, sends them out and takes what comes back, in their order; a worker is
sent the model once. This is the extra ``distributed``.
"""

from micam_fast.engine.cluster.connecting import Cluster, open_cluster, use_client
from micam_fast.engine.cluster.dispatch import ClusterRun, open_run
from micam_fast.engine.cluster.explaining import run_each
from micam_fast.engine.cluster.shipment import compare_first

__all__ = [
    "Cluster",
    "ClusterRun",
    "compare_first",
    "open_cluster",
    "open_run",
    "run_each",
    "use_client",
]
