"""Teachers: the models that answer prompts, opened by name (`openai:MODEL`, `local:PATH_OR_NAME`, `scripted`)."""

from glan_core.import_strings import load_symbol
from glan_core.teachers.contract import Teacher, TeacherError

# Import strings, because local weights belong to a higher-level package.
TEACHERS = {
    "openai": "glan_core.teachers.http_teacher:HttpTeacher",
    "local": "glan_core.models.local_teacher:LocalTeacher",
    "scripted": "glan_core.teachers.scripted.scripted_teacher:ScriptedTeacher",
}


def check_spec(spec: str) -> str:
    """Return the teacher's name if its form is valid.

    Raises:
        TeacherError: If the form is unknown.
    """
    kind, _, rest = spec.partition(":")
    if spec != "scripted" and not (kind in ("openai", "local") and rest.strip()):
        raise TeacherError(f"{spec!r} is not a valid teacher. Use openai:MODEL, local:PATH_OR_NAME or scripted.")
    return spec


def open_teacher(spec: str, base_url: str | None = None, *, key: str | None = None) -> Teacher:
    """Create the teacher with this name; local weights are loaded on first use.

    Args:
        spec: 'openai:MODEL', 'local:PATH_OR_NAME' or 'scripted'.
        base_url: URL of an OpenAI-compatible endpoint.
        key: API key, None for OPENAI_API_KEY.

    Raises:
        TeacherError: If the name or URL is not valid, or OpenAI is used without a key.
    """
    check_spec(spec)
    kind, _, rest = spec.partition(":")
    teacher = load_symbol(TEACHERS[kind])
    match kind:
        case "openai":
            return teacher(rest, base_url, key=key)
        case "local":
            return teacher(rest)
        case _:
            return teacher()
