"""Who answers prompts: `open_teacher('openai:MODEL' | 'local:PATH_OR_NAME' | 'scripted')`."""

from glan_core.import_strings import load_symbol
from glan_core.teachers.contract import Teacher, TeacherError

# Import strings: a teacher is imported when it is opened, and local weights belong to a package above this one.
TEACHERS = {
    "openai": "glan_core.teachers.http_teacher:HttpTeacher",
    "local": "glan_core.models.local_teacher:LocalTeacher",
    "scripted": "glan_core.teachers.scripted.scripted_teacher:ScriptedTeacher",
}


def check_spec(spec: str) -> str:
    """The teacher's name if it has a known form; TeacherError otherwise."""
    kind, _, rest = spec.partition(":")
    if spec != "scripted" and not (kind in ("openai", "local") and rest.strip()):
        raise TeacherError(f"{spec!r} names no teacher: use openai:MODEL, local:PATH_OR_NAME or scripted.")
    return spec


def open_teacher(spec: str, base_url: str | None = None, *, key: str | None = None) -> Teacher:
    """The teacher that a name stands for. Local weights are loaded when first asked; `key` None: OPENAI_API_KEY.

    TeacherError when the name has no known form, the address can't be one, or OpenAI is asked without a key.
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
