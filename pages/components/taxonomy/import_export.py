"""Import and export of the taxonomy, with a diff before an import."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from glan_core.errors import GlanError
from glan_core.formatting import plural
from glan_core.operations import demo_workspace
from glan_core.records import Node
from glan_core.taxonomy import hierarchy, taxonomy_files, tree_editing
from glan_core.taxonomy.hierarchy import TaxonomyDiff
from glan_core.workspace import Workspace, taxonomy_rows
from pages.components.shared import page_frame, url_state
from pages.components.shared.untrusted_text import escape, show_error
from pages.components.taxonomy import changes

PARTS = {"added": "blue", "removed": "orange", "renamed": "violet", "moved": "gray", "changed": "gray"}
SHIPPED, FILE = "Default taxonomy", "Uploaded file"


def panel(ws: Workspace) -> None:
    """Draw the downloads, and the comparison with another taxonomy with its import button."""
    left, right = page_frame.main_and_detail("exchange")
    with right:
        st.markdown("**Export**")
        for kind in ("yaml", "json"):
            text = taxonomy_files.dump(taxonomy_rows.nodes(ws.db), kind, name=str(ws.metadata("name")))
            st.download_button(
                f"Download {kind.upper()}", text, f"taxonomy.{kind}", icon=":material/download:", width="stretch"
            )
    with left:
        which = st.segmented_control("Compare with", [FILE, SHIPPED], default=FILE, required=True, key="compare_with")
        if which == SHIPPED:
            _difference(ws, taxonomy_files.read(demo_workspace.STARTER_TAXONOMY), "the default taxonomy")
        elif file := st.file_uploader("Taxonomy file (YAML or JSON)", type=["yaml", "yml", "json"]):
            _file(ws, file.name, file.getvalue())


def _file(ws: Workspace, name: str, content: bytes) -> None:
    try:
        kind = "json" if name.lower().endswith(".json") else "yaml"
        nodes = taxonomy_files.parse(content.decode("utf-8"), kind, name)
    except UnicodeDecodeError:
        st.error(f"{escape(name)} is not a UTF-8 text file. Save it as UTF-8 and upload it again.")
    except GlanError as error:
        show_error(error)
    else:
        _difference(ws, nodes, name)


def _difference(ws: Workspace, nodes: Sequence[Node], name: str) -> None:
    """Show how an import would change the workspace's taxonomy, with the button that applies it."""
    old = taxonomy_rows.nodes(ws.db)
    diff = hierarchy.diff(old, nodes)
    counts = {part: len(getattr(diff, part)) for part in PARTS}
    total = sum(counts.values())
    if not total:
        st.success(f"{escape(name[0].upper() + name[1:])} is identical to the workspace's taxonomy.", icon=":material/check:")
        return
    with st.container(horizontal=True, gap="small"):
        for part, count in counts.items():
            if count:
                st.badge(f"{count:,} {part}", color=PARTS[part])
    frame = difference_frame(diff, old, nodes)
    st.dataframe(
        frame, hide_index=True, height="content" if len(frame) <= 10 else 390, key="difference",
        column_config={
            "what": st.column_config.TextColumn("What", width=75), "name": st.column_config.TextColumn("Name", width=125),
            "where": st.column_config.TextColumn("Where", width=215), "before": st.column_config.TextColumn("From", width=110),
            "after": st.column_config.TextColumn("To", width=110),
        },
    )  # fmt: skip
    removes = (
        f"Removes {plural(counts['removed'], 'node')}; generated data is kept." if counts["removed"] else "Removes nothing."
    )
    st.markdown(f"{removes} Undo reverts the whole import.")
    if st.button(f"Import · {plural(total, 'change')}", icon=":material/input:", disabled=ws.read_only):
        changes.apply_edit(
            ws, f"Imported {name}: {plural(total, 'change')}.", tree_editing.import_nodes, nodes, url_state.user()
        )


def difference_frame(diff: TaxonomyDiff, old: Sequence[Node], new: Sequence[Node]) -> pd.DataFrame:
    """Return one row per change: kind of change, name, path above, value before and after."""
    trees = {"old": hierarchy.tree_of(old), "new": hierarchy.tree_of(new)}

    def above(which: str, id: str | None) -> str:
        return " › ".join(node.name for node in hierarchy.path(trees[which], id)) if id else "at the top"

    def name(which: str, id: str | None) -> str:
        return trees[which].nodes[id]["node"].name if id else "the top"

    rows = [("added", n.name, above("new", n.parent_id), "", n.kind) for n in diff.added]
    rows += [("removed", n.name, above("old", n.parent_id), n.kind, "") for n in diff.removed]
    rows += [("renamed", now.name, above("new", now.parent_id), was.name, now.name) for was, now in diff.renamed]
    rows += [("moved", now.name, above("new", now.parent_id), name("old", was.parent_id), name("new", now.parent_id))
             for was, now in diff.moved]  # fmt: skip
    rows += [("changed", now.name, above("new", now.parent_id), *_details(was, now)) for was, now in diff.changed]
    return pd.DataFrame(rows, columns=["what", "name", "where", "before", "after"])


def _details(was: Node, now: Node) -> tuple[str, str]:
    """Return what differs in kind, group and description."""
    parts = [(a or "none", b or "none") for a, b in
             ((was.kind, now.kind), (was.group, now.group), (was.description, now.description)) if a != b]  # fmt: skip
    return "; ".join(a for a, _ in parts), "; ".join(b for _, b in parts)
