"""Check of an endpoint: does it list models, is the key accepted, does the model answer, and how fast."""

import asyncio
import time
from dataclasses import dataclass, replace

from glan_core import access
from glan_core.formatting import plural
from glan_core.teachers.contract import (
    DecodingParams,
    TeacherBusy,
    TeacherError,
    TeacherFault,
    TeacherRefusal,
    UnusableReply,
)
from glan_core.teachers.endpoint_errors import SUCCESS
from glan_core.teachers.endpoint_settings import KEY_VARIABLE, EndpointSettings, chat_url
from glan_core.teachers.http_teacher import LIST_SECONDS, MAX_LIST_BYTES, HttpTeacher
from glan_core.teachers.replicas import with_replicas
from glan_core.teachers.wire_format import listed_models

REPLY_SECONDS = 60.0  # for one token
SLOW_SECONDS = 10.0  # from which an endpoint is called slow
MODELS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class EndpointCheck:
    """Result of a check.

    Attributes:
        ok: Whether the endpoint can be used.
        state: 'ready', 'slow', 'loading', 'absent', 'wrong key', 'no model list', 'no model', 'busy', 'error' or 'replica absent'.
        text: The result in one or two sentences.
        models: Names of the listed models; empty if it lists none.
        seconds: Seconds until the reply, None if there was none.
    """

    ok: bool
    state: str
    text: str
    models: tuple[str, ...] = ()
    seconds: float | None = None


def check_endpoint(model: str = "", settings: EndpointSettings | None = None, *, key: str | None = None) -> EndpointCheck:
    """List the models of an endpoint and request one token from one of them; it costs at most that token and its prompt.

    Replicas are asked for their lists of models only.

    Args:
        model: Model to ask; empty for the first of the list.
        settings: Address, key variable, headers and extra fields.
        key: API key, None for the one in the key variable.

    Raises:
        GlanError: If the settings are not valid, OpenAI is used without a key, or nothing may be spent here.
    """
    access.check_may_change()
    settings = settings or EndpointSettings()
    patient = settings.model_copy(update={"idle_timeout": REPLY_SECONDS, "total_timeout": REPLY_SECONDS})
    return asyncio.run(_check(model, patient, key))


async def _check(model: str, settings: EndpointSettings, key: str | None) -> EndpointCheck:
    teacher = HttpTeacher(model or "default", settings=settings, key=key)
    try:
        listed = await _list_models(teacher)
        if listed.state in ("absent", "wrong key") or not (model or listed.models):
            return listed
        teacher.model = model or listed.models[0]
        await teacher.close()  # some servers close the connection after an error without saying so
        found = await _ask_one_token(teacher, listed)
        return await _with_replicas(teacher, settings, key, found) if found.ok and settings.replicas else found
    finally:
        await teacher.close()


async def _list_models(teacher: HttpTeacher) -> EndpointCheck:
    """Return the listed models, or why there are none."""
    url, hint = teacher.url, "Check that the address ends in /v1, or name a model."
    try:
        async with asyncio.timeout(LIST_SECONDS):
            status, raw = await teacher.get(chat_url(url, teacher.model, "/models"), MAX_LIST_BYTES)
        if status in SUCCESS and (models := listed_models(raw)) is not None:
            return EndpointCheck(ok=True, state="ready", text=f"{url} answers.", models=models)
        if status in SUCCESS:
            return EndpointCheck(ok=False, state="no model list", text=f"{url} does not return a list of models. {hint}")
        if status in (401, 403):
            name = teacher.settings.key_variable or KEY_VARIABLE
            return EndpointCheck(ok=False, state="wrong key", text=f"{url} is reachable but rejects the key in {name}.")
        if 300 <= status < 400:
            return EndpointCheck(
                ok=False, state="error", text=f"{url} redirects to another address. Use the address that it redirects to."
            )
        return EndpointCheck(
            ok=False, state="no model list", text=f"{url} does not return a list of models (status {status}). {hint}"
        )
    except TimeoutError:
        return EndpointCheck(
            ok=False, state="slow", text=f"{url} does not return a list of models within {LIST_SECONDS:g} s. {hint}"
        )
    except TeacherFault as fault:
        if fault.timed_out:
            return EndpointCheck(
                ok=False, state="slow", text=f"{url} does not return a list of models within {LIST_SECONDS:g} s. {hint}"
            )
        return EndpointCheck(ok=False, state="absent" if not fault.sent else "no model list", text=str(fault))


async def _ask_one_token(teacher: HttpTeacher, listed: EndpointCheck) -> EndpointCheck:
    """Request one token and describe the result."""
    begun, models = time.monotonic(), listed.models
    try:
        await teacher.reply([{"role": "user", "content": "Hi"}], DecodingParams(None, None, 1))
    except (TeacherRefusal, UnusableReply) as refusal:
        if "max_tokens" not in str(refusal):  # reasoning models answer that one token is too little, so they do answer
            return EndpointCheck(ok=False, state="error", text=str(refusal), models=models)
    except TeacherBusy as busy:
        if busy.loading:
            return EndpointCheck(ok=True, state="loading", text=f"{busy} Calls wait until it is loaded.", models=models)
        return EndpointCheck(ok=False, state="busy", text=str(busy), models=models)
    except TeacherFault as fault:
        if not fault.sent:
            return EndpointCheck(ok=False, state="absent", text=str(fault), models=models)
        if fault.timed_out:
            text = f"{teacher.url} is reachable but {teacher.model} sent nothing within {REPLY_SECONDS:.0f} s. It may be loading or busy."
            return EndpointCheck(ok=False, state="slow", text=text, models=models)
        return EndpointCheck(ok=False, state="error", text=str(fault), models=models)
    except TeacherError as error:
        state = {"rejected the API key": "wrong key", "has no model": "no model"}
        found = next((name for words, name in state.items() if words in str(error)), "error")
        known = f" Models there: {_shown(models)}." if found == "no model" and models else ""
        return EndpointCheck(ok=False, state=found, text=f"{error}{known}", models=models)
    seconds = time.monotonic() - begun
    known = f"models: {_shown(models)}" if models else "it lists no models"
    speed = f"in {seconds:.1f} s" if seconds < SLOW_SECONDS else f"slowly, after {seconds:.0f} s"
    text = f"{teacher.url} answers {speed} with {teacher.model}; {known}. {' '.join(teacher.notices)}".strip()
    return EndpointCheck(
        ok=True, state="ready" if seconds < SLOW_SECONDS else "slow", text=text, models=models, seconds=seconds
    )


async def _with_replicas(
    first: HttpTeacher, settings: EndpointSettings, key: str | None, found: EndpointCheck
) -> EndpointCheck:  # fmt: skip
    """Add what the replicas answer to the result of the base URL."""
    teacher = with_replicas(first, settings, key=key)
    if isinstance(teacher, HttpTeacher):
        return found
    replicas, state, said = teacher.replicas[1:], found.state, []
    try:
        for replica in replicas:
            try:
                listed = await replica.list_models()
            except TeacherFault as fault:
                state = state if state == "no model" else "replica absent"
                said.append(str(fault))
                continue
            if listed is not None and first.model in found.models and first.model not in listed:
                state = "no model"
                said.append(f"{replica.url} does not serve {first.model}. Models there: {_shown(listed) or 'none'}.")
    finally:
        for replica in replicas:
            await replica.close()
    good = f"{len(replicas) - len(said)} of {plural(len(replicas), 'replica')} can be used."
    return replace(found, ok=state != "no model", state=state, text=" ".join([found.text, good, *said]))


def _shown(models: tuple[str, ...]) -> str:
    more = len(models) - MODELS_SHOWN
    return ", ".join(name[:80] for name in models[:MODELS_SHOWN]) + (f" and {more:,} more" if more > 0 else "")
