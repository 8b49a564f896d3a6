"""Import and export of the taxonomy, with a diff before an import."""

from collections.abc import Sequence
from dataclasses import asdict

import pandas as pd
import streamlit as st

from glan_core.errors import GlanError
from glan_core.formatting import plural
from glan_core.operations import demo_workspace
from glan_core.records import Node
from glan_core.taxonomy import hierarchy, taxonomy_changes, taxonomy_files, taxonomy_import, tree_editing
from glan_core.taxonomy.hierarchy import TaxonomyDiff
from glan_core.taxonomy.topics import merged
from glan_core.workspace import Workspace, taxonomy_rows
from pages.components.shared import page_frame, plain_table, url_state
from pages.components.shared.untrusted_text import escape, show_error
from pages.components.taxonomy import changes

COLORS = {"added": "blue", "removed": "orange", "renamed": "violet", "moved": "gray", "changed": "gray"}
SHIPPED, FILE = "Default taxonomy", "Uploaded file"
REPLACE, ADD = "Replace the taxonomy", "Add to the taxonomy"
FORMS = (
    "A taxonomy file of GLAN Studio, an InstructLab tree (.zip) or `qna.yaml`, topics of Kiln or DeepFabric, nested JSON or YAML, a "
    "Markdown or text outline, or CSV paths. IDs and kinds are created where the file has none."
)


def panel(ws: Workspace) -> None:
    """Draw the downloads, and the comparison with another taxonomy with its import button."""
    left, right = page_frame.main_and_detail("exchange")
    with right:
        st.markdown("**Export**")
        with st.container(horizontal=True, gap="small"):
            for kind in ("yaml", "json"):
                text = taxonomy_files.dump(taxonomy_rows.nodes(ws.db), kind, name=str(ws.metadata("name")))
                st.download_button(
                    f"Download {kind.upper()}", text, f"taxonomy.{kind}", icon=":material/download:", width="stretch"
                )
        st.markdown("**File format**")
        st.code(taxonomy_files.EXAMPLE, language="yaml")
        st.caption("Fields are at the top, disciplines are leaves. `id` is the name in lowercase with hyphens.")
    with left:
        which = st.segmented_control("Compare with", [FILE, SHIPPED], default=FILE, required=True, key="compare_with")
        if which == SHIPPED:
            _difference(ws, taxonomy_files.read(demo_workspace.STARTER_TAXONOMY), "the default taxonomy")
            return
        st.caption(FORMS)
        if file := st.file_uploader("Taxonomy file", help="The content decides the form, not the file name."):
            _file(ws, file.name, file.getvalue())


def _file(ws: Workspace, name: str, content: bytes) -> None:
    """Show what was recognized in a file, and how its import would change the taxonomy."""
    old = taxonomy_rows.nodes(ws.db)
    try:
        found = taxonomy_import.parse_import(content, name, old)
    except GlanError as error:
        show_error(error)
        return
    st.markdown(escape(found.summary))
    for note in found.notes:
        st.caption(escape(note))
    nodes = found.nodes
    if old:
        mode = st.segmented_control("Import", [REPLACE, ADD], default=REPLACE, required=True, key="import_mode",
            help="Replacing removes the nodes that the file lacks. Adding removes, moves and renames nothing.")  # fmt: skip
        nodes = merged(nodes, old) if mode == ADD else nodes
    _difference(ws, nodes, name)


def _difference(ws: Workspace, nodes: Sequence[Node], name: str) -> None:
    """Show how an import would change the workspace's taxonomy, with the button that applies it."""
    old = taxonomy_rows.nodes(ws.db)
    diff = hierarchy.diff(old, nodes)
    counts = taxonomy_changes.change_counts(diff)
    total = sum(counts.values())
    if not total:
        st.success(f"{escape(name[0].upper() + name[1:])} is identical to the workspace's taxonomy.", icon=":material/check:")
        return
    with st.container(horizontal=True, gap="small"):
        for part, count in counts.items():
            if count:
                st.badge(f"{count:,} {part}", color=COLORS[part])
    frame = difference_frame(diff, old, nodes)
    plain_table.draw(
        frame, hide_index=True, height="content" if len(frame) <= 10 else 390, key="difference", alt="Changes of the import",
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
    rows = [asdict(change) for change in taxonomy_changes.changes(diff, old, new)]
    return pd.DataFrame(rows, columns=["what", "name", "where", "before", "after"])
