"""``python -m balign``: the same command line as ``balign``, for rules and Slurm jobs."""

from balign.cli import main

main()
