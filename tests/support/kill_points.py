"""Kill points of runs in batches: before and after each transaction, each file and each request to the endpoint."""

from glan_core.generation.batch_files import RequestFile
from glan_core.teachers.batch_client import BatchClient
from glan_core.workspace import run_rows
from glan_core.workspace.group_commit import GroupCommit


class Killed(BaseException):
    """The process ends here."""


class KillPoints:
    """Ends the run in this process at a point; from then on it stores and sends nothing more.

    Attributes:
        passed: Names of the points that were passed.
        left: Points until the next kill; None for none.
    """

    def __init__(self, monkeypatch) -> None:
        self.passed: list[str] = []
        self.left: int | None = None
        self.dead = False
        commit = GroupCommit._commit

        async def committed(commits, batch):
            try:
                self.point("before transaction")
                await commit(commits, batch)
                self.point("after transaction")
            except Killed as killed:  # nobody hears what became of the transaction
                for item in batch:
                    if not item.future.done():
                        item.future.set_exception(killed)

        monkeypatch.setattr(GroupCommit, "_commit", committed)
        for name in ("upload", "create", "find", "find_file", "get", "cancel", "download"):
            self._wrap(monkeypatch, BatchClient, name, name)
        finish = RequestFile.finish

        def finished(file: RequestFile) -> str:
            self.point("before file")
            found = finish(file)
            self.point("after file")
            return found

        monkeypatch.setattr(RequestFile, "finish", finished)

    def _wrap(self, monkeypatch, owner: type, name: str, what: str) -> None:
        original = getattr(owner, name)

        async def wrapped(instance, *args, **kwargs):
            self.point(f"before {what}")
            result = await original(instance, *args, **kwargs)
            self.point(f"after {what}")
            return result

        monkeypatch.setattr(owner, name, wrapped)

    def point(self, name: str) -> None:
        """Pass a point, or end here."""
        if self.dead:
            raise Killed
        self.passed.append(name)
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.dead = True
                raise Killed

    def revive(self, ws, run_id: int) -> None:
        """Let the next process start: the run is lost, as after a kill."""
        self.dead = False
        if ws.db.in_transaction:
            ws.db.execute("ROLLBACK")
        with ws.write() as db:
            run_rows.update_run(db, run_id, pid=None, host="another", heartbeat_at=1.0)
