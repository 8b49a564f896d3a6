"""Teachers: the models that answer prompts, opened by name (`openai:MODEL`, `local:PATH_OR_NAME`, `scripted`)."""

from collections.abc import Mapping
from dataclasses import dataclass

from glan_core.import_strings import load_symbol
from glan_core.teachers.contract import Teacher, TeacherError
from glan_core.teachers.endpoint_settings import EndpointSettings


@dataclass(frozen=True, slots=True)
class TeacherKind:
    """One kind of teacher.

    Attributes:
        teacher: Import string of the class, because local weights belong to a package above this one.
        form: How it is named, such as "openai:MODEL"; the part after the colon is the first argument of the class.
        endpoint: Whether the class takes the address and the key of an endpoint as well.
    """

    teacher: str
    form: str
    endpoint: bool = False


TEACHERS = {
    "openai": TeacherKind("glan_core.teachers.http_teacher:HttpTeacher", "openai:MODEL", endpoint=True),
    "local": TeacherKind("glan_core.models.local_teacher:LocalTeacher", "local:PATH_OR_NAME"),
    "scripted": TeacherKind("glan_core.teachers.scripted.scripted_teacher:ScriptedTeacher", "scripted"),
}

WITH_REPLICAS = "glan_core.teachers.replicas:with_replicas"  # not imported here, because aiohttp takes a while


def check_spec(spec: str) -> str:
    """Return the teacher's name if its form is valid.

    Raises:
        TeacherError: If the form is unknown.
    """
    kind, colon, model = spec.partition(":")
    known = TEACHERS.get(kind)
    if known is None or (":" in known.form) != bool(colon and model.strip()):
        *forms, last = (entry.form for entry in TEACHERS.values())
        raise TeacherError(f"{spec!r} is not a valid teacher. Use {', '.join(forms)}, {last} or @NAME of a saved connection.")
    return spec


def open_teacher(
    spec: str, base_url: str | None = None, *, key: str | None = None, settings: EndpointSettings | None = None,
    environment: Mapping[str, str] | None = None,
) -> Teacher:  # fmt: skip
    """Create the teacher with this name; local weights are loaded on first use.

    Args:
        spec: Name in one of the forms of `TEACHERS`.
        base_url: URL of an OpenAI-compatible endpoint, None for that of the settings.
        key: API key, None for the one in the key variable.
        settings: Headers, extra fields, timeouts and key variable of the endpoint, and its replicas.
        environment: Keys that a user typed, by variable, for replicas with a key of their own.

    Raises:
        TeacherError: If the name or URL is not valid, or OpenAI is used without a key.
    """
    kind, _, model = check_spec(spec).partition(":")
    entry = TEACHERS[kind]
    teacher = load_symbol(entry.teacher)
    if entry.endpoint:
        first = teacher(model, base_url, key=key, settings=settings)
        if settings is None or not settings.replicas:
            return first
        return load_symbol(WITH_REPLICAS)(first, settings, key=key, environment=environment)
    return teacher(model) if ":" in entry.form else teacher()
