"""`glan backup` and `glan restore`: a workspace as one file, also while runs write to it."""

import argparse
from pathlib import Path

from glan_core.cli.output import report
from glan_core.cli.run_start import add_job_options, run_job
from glan_core.formatting import number
from glan_core.operations import backup_job
from glan_core.workspace import Workspace, workspace_facts


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the commands of this module."""
    backup = commands.add_parser("backup", help="write a workspace to one compressed file, also while runs write to it")
    backup.add_argument("dir", metavar="DIR", help="workspace folder")
    backup.add_argument("file", metavar="FILE", help=f"the new file; it ends in {backup_job.SUFFIX}")
    add_job_options(backup)
    backup.set_defaults(command=_backup)

    restore = commands.add_parser("restore", help="turn a backup into a workspace again")
    restore.add_argument("file", metavar="FILE")
    restore.add_argument("dir", metavar="DIR", help="the new workspace folder")
    restore.add_argument("--json", action="store_true")
    restore.set_defaults(command=_restore)


def _backup(args: argparse.Namespace) -> int:
    ws, path = Workspace.open(args.dir), Path(args.file).expanduser().absolute()
    backup_job.check_backup(ws, path)
    settings = backup_job.BackupSettings(path=str(path))
    return run_job(
        ws, settings, args, f"Backup to {path.name}", result=lambda: {"path": str(path), "bytes": path.stat().st_size}
    )


def _restore(args: argparse.Namespace) -> None:
    file, folder = Path(args.file).expanduser().absolute(), Path(args.dir).expanduser().absolute()
    ws = backup_job.restore_backup(file, folder)
    pairs = workspace_facts.read_facts(folder).pairs or 0
    said = f"Restored {ws.metadata('name')} with {number(pairs)} pairs to {folder}."
    report({"folder": str(folder), "name": ws.metadata("name"), "pairs": pairs}, [said], as_json=args.json)
