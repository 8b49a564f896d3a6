"""Quality checks, decontamination, snapshots and export of the instruction dataset."""
