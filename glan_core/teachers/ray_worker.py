"""The actor of the Ray engine: sends the requests of one run from a node of the cluster, and returns their replies and errors."""

import os
import socket
from collections.abc import Mapping, Sequence

from glan_core.teachers.contract import (
    DecodingParams,
    Message,
    Reply,
    TeacherBusy,
    TeacherError,
    TeacherFault,
    TeacherRefusal,
    UnusableReply,
)
from glan_core.teachers.endpoint_settings import EndpointSettings
from glan_core.teachers.http_teacher import HttpTeacher

Outcome = Reply | TeacherError | TeacherBusy | TeacherFault | TeacherRefusal | UnusableReply


class RayWorker:
    """Sends requests to one endpoint; it stores nothing.

    Args:
        model: Model of the endpoint.
        settings: The endpoint.
        key: API key. It travels in the actor's creation task, which stays in the memory of the cluster.
        variables: Environment variables that the headers name, with their values; they travel as the key does.
    """

    def __init__(self, model: str, settings: EndpointSettings, key: str, variables: Mapping[str, str]) -> None:
        os.environ.update(variables)  # the process is this actor's own
        self._teacher = HttpTeacher(model, settings=settings, key=key)

    async def host(self) -> str:
        """Return the host of this worker."""
        return socket.gethostname()

    async def reply(self, messages: Sequence[Message], decoding: DecodingParams) -> tuple[Outcome, list[str]]:
        """Return the reply or the error of a request, and what was learned about the endpoint so far."""
        outcome: Outcome
        try:
            outcome = await self._teacher.reply(messages, decoding)
        except (TeacherError, TeacherBusy, TeacherFault, TeacherRefusal, UnusableReply) as error:
            outcome = error.with_traceback(None)  # an exception that is raised here would bring Ray's own traceback
        return outcome, self._teacher.notices
