"""Scheduled twins of library functions: the only home of Dask.

A pipeline is a function `run(*, out, cluster, progress, threads, **options)` whose remaining
keyword parameters are its options in a workflow file. It is found by entry point
(`solarxai.pipelines`). It schedules functions of `solarxai.workflow.tasks`, so that a worker needs
the library alone, and does no arithmetic of its own.
"""
