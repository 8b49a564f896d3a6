"""Taxonomy proposals: asking a teacher with several prompt variants what is missing under a node."""

from typing import Any

import apsw
from pydantic import BaseModel, ConfigDict, Field, field_validator

from glan_core import ids
from glan_core.errors import GlanError
from glan_core.formatting import quoted
from glan_core.generation.protocols import Work, ask
from glan_core.generation.settings import ProposalSettings
from glan_core.ids import name_key
from glan_core.prompts import TAXONOMY_DRAFTS, prompt
from glan_core.reply_parsing import Line, json_lines
from glan_core.taxonomy import hierarchy, tree_editing
from glan_core.workspace import Workspace, call_rows, taxonomy_rows
from glan_core.workspace.taxonomy_rows import Proposal


class ProposalLine(BaseModel):
    """One line of a reply that proposes nodes."""

    model_config = ConfigDict(str_strip_whitespace=True)

    name: Line = Field(min_length=1, max_length=200)
    kind: str = "discipline"
    description: str = ""
    reason: str = ""

    @field_validator("kind", mode="before")
    @classmethod
    def _kind(cls, value: object) -> object:
        return "sub-field" if str(value).replace("-", "").replace(" ", "").casefold() == "subfield" else "discipline"


class ProposalQueue:
    """Work queue with one call per prompt variant that the run has not stored; also its own only stage."""

    name = "proposals"

    def __init__(self, ws: Workspace, settings: ProposalSettings, run_id: int) -> None:
        tree = tree_editing.tree(ws)
        *above, parent = hierarchy.path(tree, settings.parent_id)
        if parent.kind == "discipline":
            raise GlanError(f"{quoted(parent.name)} is a discipline, and disciplines are leaves. Choose a node above it.")
        self._parent, self._count = parent, settings.count
        self._names = [node.name for node in hierarchy.walk(tree)]
        children = [tree.nodes[child]["node"].name for child in tree.successors(parent.id)]
        values = {
            "parent": parent.name, "path": " > ".join(node.name for node in above) or "top level",
            "description": parent.description or parent.name, "count": str(settings.count),
            "existing": "\n".join(f"- {name}" for name in children) or "- nothing yet",
        }  # fmt: skip
        self._works = [
            Work(
                self.name,
                ids.derive("prq", f"{run_id}/{parent.id}", name),
                None,
                prompt(name),
                ask(prompt(name), **values),
                name,
            )
            for name in reversed(TAXONOMY_DRAFTS)
        ]
        self._works = [work for work in self._works if not _stored(ws.db, work.id)]
        self._planned = len(self._works)

    def next(self) -> Work | None:
        """See WorkQueue."""
        return self._works.pop() if self._works else None

    def stage(self, work: Work) -> "ProposalQueue":
        """See WorkQueue."""
        return self

    def parse(self, work: Work, text: str) -> list[ProposalLine]:
        """See Stage."""
        return json_lines(text, ProposalLine)

    def store(self, db: apsw.Connection, work: Work, parsed: list[ProposalLine], teacher: str) -> int:
        """Store new proposals; names that the taxonomy has are dropped, similar names are flagged."""
        known = {name_key(name) for name in self._names}
        new = 0
        for line in parsed[: self._count]:
            if name_key(line.name) in known:
                continue
            alike = tuple(name for name, _ in hierarchy.similar(line.name, self._names)[:3])
            proposal = Proposal(
                0, ids.derive("prp", self._parent.id, name_key(line.name)), self._parent.id, line.name, line.kind,
                line.description, line.reason, alike, (work.facts,), teacher, "open",
            )  # fmt: skip
            new += taxonomy_rows.put_proposal(db, proposal)
        return new

    def record_text(self, parsed: list[ProposalLine]) -> None:
        """See Stage: proposals are stored in another form than the reply."""

    def stored(self, work: Work, value: Any) -> None:
        """See WorkQueue: proposals have no follow-up tasks."""

    def failed(self, work: Work) -> None:
        """See WorkQueue."""

    def planned(self) -> dict[str, int]:
        """See WorkQueue; tasks stored by an earlier process of the run are not included."""
        return {self.name: self._planned}


def _stored(db: apsw.Connection, work_id: str) -> bool:
    return any(call.outcome == "stored" for call in call_rows.calls_of(db, work_id))
