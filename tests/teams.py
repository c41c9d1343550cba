"""Processes that train together, forked from a test, so that they need not import anything."""

import multiprocessing
import traceback

from pipelines.processes import Place, joined


def _member(work, place, store, line):
    try:
        with joined(place, device="cpu", store=store) as team:
            line.send(("made", work(team)))
    except BaseException as error:
        line.send(("failed", traceback.format_exception_only(error)[-1]))


def together(work, *, size, folder):
    """Return ("made", what `work(team)` gave) or ("failed", why) of each of so many processes."""
    context = multiprocessing.get_context("fork")
    store = (folder / f"store-{len(list(folder.iterdir()))}").as_uri()
    lines, processes = [], []
    for rank in range(size):
        here, there = context.Pipe()
        process = context.Process(
            target=_member, args=(work, Place(rank, size, rank), store, there)
        )
        process.start()
        there.close()
        lines.append(here)
        processes.append(process)
    found = [line.recv() if line.poll(120) else ("silent", None) for line in lines]
    for process in processes:
        process.join(30)
        process.kill()
    return found
