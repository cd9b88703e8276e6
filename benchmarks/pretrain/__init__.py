"""Benchmarks of the stage pretrain."""

import os

# Before PyTorch is imported: idle threads sleep, so that the rest of the machine disturbs less.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
