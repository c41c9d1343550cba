"""A job array of a real Slurm, without Dask: the shipped script, and the root hash of a loop."""

import os
import subprocess
import sys
from pathlib import Path

from solarxai.store import Store

SCRIPT = Path(__file__).parents[2] / "workflows" / "slurm_array.sh"


def submitted(workflow, out, folder, *, command=None):
    program = folder / "solarxai"
    program.write_text(
        f"#!/bin/sh\nexec {sys.executable} -c 'from solarxai.cli import main; main()' \"$@\"\n"
    )
    program.chmod(0o755)
    settings = {"SOLARXAI": command or str(program), "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        ["bash", str(SCRIPT), str(workflow), str(out), "2"],
        env={**os.environ, **settings, "OMP_NUM_THREADS": "1", "LOOK": "0.5"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_shipped_script_ends_with_the_root_hash_of_a_plain_loop(
    slurm, workflow, out, expected, tmp_path
):
    ended = submitted(workflow, out, tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert f"root hash: {expected}" in ended.stdout
    assert Store(out / "store").root_hash() == expected
    assert sorted(path.name for path in out.glob("work*")) == []


def test_the_shipped_script_ends_with_the_log_of_what_failed(slurm, workflow, out, tmp_path):
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho this node has no solarxai >&2\nexit 9\n")
    broken.chmod(0o755)
    ended = submitted(workflow, out, tmp_path, command=str(broken))
    assert ended.returncode == 9
    assert "this node has no solarxai" in ended.stderr


def test_parts_that_do_nothing_end_the_script(slurm, workflow, out, tmp_path):
    """The driver runs, the parts die: without that check the script would go round for ever."""
    half = tmp_path / "half"
    half.write_text(
        '#!/bin/sh\nif [ "$1" = work ]; then echo no licence for parts >&2; exit 1; fi\n'
        'mkdir -p "$4/work"; echo 4 > "$4/work/waiting"; echo x > "$4/work/order.pickle"; exit 3\n'
    )
    half.chmod(0o755)
    ended = submitted(workflow, out, tmp_path, command=str(half))
    assert ended.returncode == 1
    assert "no unit was done" in ended.stderr
    assert "no licence for parts" in ended.stderr
