"""Tour of the studio: six stops, offered at the first visit of a demo workspace; who has seen it is stored with the user's settings."""

from dataclasses import dataclass

from glan_core import access
from glan_core.teachers.connections import file_path
from glan_core.workspace import Workspace

SEEN = "tour-seen"  # empty file in the user's configuration folder


@dataclass(frozen=True, slots=True)
class Stop:
    """One stop.

    Attributes:
        page: File of the page that it is about.
        title: Title.
        text: What to see there, in two or three sentences.
    """

    page: str
    title: str
    text: str


STOPS = (
    Stop(
        "pages/overview.py", "From knowledge to data",
        "The picture is a taxonomy of human knowledge, colored by how much of its instruction dataset exists. Click a part to zoom in; what you "
        "select here filters every other page.",
    ),
    Stop(
        "pages/syllabi.py", "Teachers write courses",
        "For each discipline a teacher model lists subjects and writes a syllabus of class sessions with key concepts. Choose a subject to read "
        "its plan, and follow a concept to the questions that use it.",
    ),
    Stop(
        "pages/homework.py", "Homework becomes instruction pairs",
        "Every question combines sampled key concepts, and a separate call answers it. Each pair leads back to its sessions, concepts, prompts "
        "and cost, and can be reviewed.",
    ),
    Stop(
        "pages/diversity.py", "See what is covered",
        "The map places questions by meaning, one island per subject. Draw a lasso around points to read them, and compare with another "
        "dataset.",
    ),
    Stop(
        "pages/dataset.py", "Clean, split, export",
        "Filters, near-duplicates and decontamination show their evidence. A snapshot freezes the rows for training; exports fit the usual "
        "trainers.",
    ),
    Stop(
        "pages/chat.py", "Talk to the result",
        "A model tuned on the snapshot answers beside its base. Vote blindly, look up the nearest training examples, and see the scores with "
        "their intervals on Evaluate.",
    ),
)  # fmt: skip


def position(at: int) -> str:
    """Return where in the tour a stop is, by its index: 'stop 1 of 6 of the tour'."""
    return f"stop {at + 1} of {len(STOPS)} of the tour"


def is_offered(ws: Workspace) -> bool:
    """Return whether the tour begins at the visit of a workspace: at the first one of a demo."""
    return bool(ws.metadata("demo")) and not is_seen()


def is_seen() -> bool:
    """Return whether the user has seen or dismissed the tour."""
    return (file_path().parent / SEEN).exists()


def set_seen() -> None:
    """Remember that the user has seen or dismissed the tour; without a writable folder it is offered again."""
    if access.refusal():
        return
    try:
        file_path().parent.mkdir(parents=True, exist_ok=True)
        (file_path().parent / SEEN).touch()
    except OSError:
        return
