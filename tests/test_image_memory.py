"""Memory of a worker that ingests full disks: bounded by the image, whatever came before."""

import dataclasses
import functools
import tracemalloc

import numpy as np
import pytest
from astropy.io import fits

from solarxai.catalog import Catalog
from solarxai.ingest import ingest
from solarxai.provenance import file_hash
from solarxai.synthetic.archive import write_hmi
from solarxai.workflow import tasks

COPIES = 7
"""Float32 copies of the image that `docs/photosphere.md` promises not to exceed."""

COPIES_WITH_TRUTH = 10


def disks(folder, *, n=1, size=1024):
    return Catalog.load(write_hmi(folder, n=n, kind="full_disk", size=size)).references


def without_truth(reference):
    return dataclasses.replace(reference, truth=None, truth_sha256="")


def packed(reference):
    """Return a reference to the image as archives hold it: integers, Rice-compressed, scaled."""
    values, header = fits.getdata(reference.path, header=True)
    steps = np.where(np.isfinite(values), np.round(values / 0.1), -(2**31)).astype(np.int32)
    unit = fits.CompImageHDU(steps, header=header, compression_type="RICE_1")
    unit.header.update({"BSCALE": 0.1, "BZERO": 0.0, "BLANK": -(2**31)})
    path = reference.path.with_suffix(".rice.fits")
    unit.writeto(path)
    return dataclasses.replace(reference, path=path, sha256=file_hash(path))


def peak(call):
    """Return the most bytes alive at once while `call()` runs, and those it leaves."""
    tracemalloc.start()
    try:
        call()
        left, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return most, left


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    references = disks(tmp_path_factory.mktemp("disks"), n=2)
    ingest(without_truth(references[0]))
    return references


@pytest.mark.parametrize("kind", [without_truth, packed])
def test_a_full_disk_needs_no_more_than_seven_copies_of_itself(archive, kind):
    most, _ = peak(lambda: ingest(without_truth(kind(archive[0]))))
    assert 4 * 1024**2 < most < COPIES * 4 * 1024**2


def test_the_truth_of_a_synthetic_disk_adds_three(archive):
    most, _ = peak(lambda: ingest(archive[0]))
    assert most < COPIES_WITH_TRUTH * 4 * 1024**2


def test_a_block_of_disks_needs_no_more_than_one_disk_and_leaves_none(archive, tmp_path):
    files = [without_truth(one) for one in archive]
    call = functools.partial(tasks.ingest_block, files, tmp_path / "a.json", ingest, False)
    call()
    most, left = peak(call)
    assert most < COPIES * 4 * 1024**2
    assert left < 1024**2


@pytest.mark.slow
def test_a_full_disk_of_4096_pixels_needs_less_than_seven_copies_of_itself(tmp_path):
    (reference,) = disks(tmp_path, size=4096)
    for kind in (without_truth, packed):
        most, left = peak(lambda k=kind: ingest(without_truth(k(reference))))
        assert 4 * 4096**2 < most < COPIES * 4 * 4096**2
        assert left < 4 * 4096**2 / 4
