"""Who answers prompts: `open_teacher('openai:MODEL' | 'local:PATH_OR_NAME' | 'scripted')`."""

from glan_core.teachers.base import Teacher, TeacherError


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
    if kind == "openai":
        from glan_core.teachers.http import HttpTeacher

        return HttpTeacher(rest, base_url, key=key)
    if kind == "local":
        from glan_core.teachers.local import LocalTeacher

        return LocalTeacher(rest)
    from glan_core.teachers.scripted import ScriptedTeacher

    return ScriptedTeacher()
