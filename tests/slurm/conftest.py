"""A real cluster on this machine; `make slurm-test` installs Slurm first where apt-get can."""

import os
import shutil
import subprocess
import time

import pytest

NEEDED = ["slurmctld", "slurmd", "munged", "sbatch", "squeue", "scancel"]


@pytest.fixture(scope="module")
def cluster(root, tmp_path_factory):
    """Two nodes of Slurm's own daemons, `n1` and `n2`; tests are skipped where they cannot be."""
    script, folder = root / "tests/slurm/cluster.sh", tmp_path_factory.mktemp("cluster")
    if os.geteuid() != 0:
        pytest.skip("Slurm's daemons are started as root")
    if missing := [name for name in NEEDED if shutil.which(name) is None]:
        pytest.skip(f"no {', '.join(missing)} here; tests/slurm/cluster.sh install")
    started = subprocess.run([script, "start", folder], capture_output=True, text=True, check=False)
    if started.returncode == 3:
        pytest.skip(started.stderr)
    try:
        assert started.returncode == 0, started.stderr
        yield folder
        subprocess.run(["scancel", "--quiet", "--partition=main"], check=False)
        deadline = time.monotonic() + 40
        while subprocess.check_output(["squeue", "-h"]) and time.monotonic() < deadline:
            time.sleep(0.5)
    finally:
        subprocess.run([script, "stop", folder], check=False)
