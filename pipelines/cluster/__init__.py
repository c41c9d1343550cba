"""Where units of work run, one kind a file: the same bytes from each.

A cluster is a class whose `run(function, calls)` yields results as they end and whose `close()`
lets go of what it holds. It is found by entry point (`solarxai.clusters`); its keyword parameters,
beside `folder` and `workers`, are its options in a workflow file. One that knows how many GPUs a
worker has says so as `gpus`.
"""

from pipelines.cluster.local import LocalProcesses
from pipelines.cluster.plain import PlainLoop
from pipelines.cluster.window import WINDOW, WORKER_ENVIRONMENT

__all__ = ["WINDOW", "WORKER_ENVIRONMENT", "LocalProcesses", "PlainLoop"]
