"""A real Slurm on this machine alone: a controller and four nodes, without systemd or cgroups.

Everything lives in one folder: key and socket of munge, state, spool, logs. Jobs are real: queued,
cancelled, preempted, killed. Each node claims two cores, 4 GB and two (empty) GPUs, whatever the
machine has.

    python tests/slurm/slurm_machine.py start /tmp/slurm
    export SLURM_CONF=/tmp/slurm/slurm.conf
    python tests/slurm/slurm_machine.py stop /tmp/slurm
"""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

NODES = 4
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel")
DEVICES = ("/dev/null", "/dev/zero")
"""Stand for the GPUs of a node: Slurm only asks that they are devices."""
SYSTEM = f"/usr/sbin{os.pathsep}/sbin"

CONFIGURATION = """\
ClusterName=solarxai
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,sched_min_interval=0,bf_interval=1,batch_sched_delay=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldTimeout=30
SlurmdTimeout=30
KillWait=2
MinJobAge=60
InactiveLimit=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
NodeName=n[1-{nodes}] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{first}-{last}] \
CPUs=2 RealMemory=4096 Gres=gpu:2 State=UNKNOWN
PartitionName=normal Nodes=ALL Default=YES MaxTime=01:00:00 DefMemPerCPU=256 PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=01:00:00 DefMemPerCPU=256 PriorityTier=9 PreemptMode=OFF
"""


def missing_program() -> str | None:
    """Return a program of Slurm that is not installed, if any."""
    path = os.pathsep.join([os.environ.get("PATH", ""), SYSTEM])
    return next((name for name in PROGRAMS if shutil.which(name, path=path) is None), None)


def start(folder: Path, nodes: int = NODES) -> Path:
    """Start munge, the controller and the nodes; return the configuration when all are idle."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    (folder / "state").mkdir()
    configuration = folder / "slurm.conf"
    controller, *ports = _free_ports(nodes + 1)
    configuration.write_text(
        CONFIGURATION.format(
            host=socket.gethostname().split(".")[0], user=getpass.getuser(), folder=folder,
            nodes=nodes, controller=controller, first=ports[0], last=ports[-1],
        )
    )  # fmt: skip
    (folder / "gres.conf").write_text("".join(f"Name=gpu File={path}\n" for path in DEVICES))
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n")
    _start_munge(folder)
    _call(folder, "slurmctld", "-f", str(configuration))
    for node in range(1, nodes + 1):
        (folder / f"spool.n{node}").mkdir()
        _call(folder, "slurmd", "-f", str(configuration), "-N", f"n{node}")
    _wait_until_idle(folder, nodes)
    return configuration


def stop(folder: Path) -> None:
    """Cancel all jobs and end what `start` started, by the numbers it wrote down."""
    _call(folder, "scancel", "--full", "-u", getpass.getuser(), check=False)
    deadline = time.monotonic() + 6
    while _call(folder, "squeue", "-h", check=False) and time.monotonic() < deadline:
        time.sleep(0.2)
    files = [*folder.glob("slurmd.*.pid"), folder / "slurmctld.pid", folder / "munged.pid"]
    numbers = [int(file.read_text()) for file in files if file.is_file()]
    for sent in (signal.SIGTERM, signal.SIGKILL):
        for number in filter(_lives, numbers):
            os.kill(number, sent)
        deadline = time.monotonic() + 5
        while any(map(_lives, numbers)) and time.monotonic() < deadline:
            time.sleep(0.1)


def state() -> str:
    """Return the queue, the nodes and the last lines of the controller, for a report."""
    folder = Path(os.environ["SLURM_CONF"]).parent
    told = [
        _call(folder, "squeue", "-o", "%i %P %T %M %r", check=False),
        _call(folder, "sinfo", "-N", "-o", "%N %P %T %E", check=False),
        (folder / "slurmctld.log").read_text()[-3000:],
    ]
    return "\n".join(told)


def _start_munge(folder: Path) -> None:
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    words = {"key-file": key, "socket": folder / "munge.socket", "pid-file": folder / "munged.pid"}
    words |= {"log-file": folder / "munged.log", "seed-file": folder / "munge.seed"}
    _call(folder, "munged", "--force", *(f"--{name}={value}" for name, value in words.items()))


def _wait_until_idle(folder: Path, nodes: int) -> None:
    deadline = time.monotonic() + 60
    while (
        _call(folder, "sinfo", "-h", "-p", "normal", "-N", "-o", "%T").split() != ["idle"] * nodes
    ):
        if time.monotonic() > deadline:
            log = (folder / "slurmctld.log").read_text()[-3000:]
            raise RuntimeError(f"Slurm did not come up in {folder}:\n{log}")
        time.sleep(0.1)


def _call(folder: Path, *words: str, check: bool = True) -> str:
    environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
    environment["PATH"] = os.pathsep.join([os.environ.get("PATH", ""), SYSTEM])
    path = shutil.which(words[0], path=environment["PATH"]) or words[0]
    ended = subprocess.run(
        [path, *words[1:]], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    if check and ended.returncode:
        raise RuntimeError(f"{' '.join(words)}: {ended.stderr}")
    return ended.stdout


def _free_ports(number: int) -> list[int]:
    """Return consecutive free ports."""
    for first in range(20000 + os.getpid() % 1000 * 10, 60000, number):
        ports = list(range(first, first + number))
        if all(_is_free(port) for port in ports):
            return ports
    raise RuntimeError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) != 0


def _lives(number: int) -> bool:
    """Return whether a process is there, and not only waits to be buried."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    {"start": start, "stop": stop}[sys.argv[1]](Path(sys.argv[2]))
