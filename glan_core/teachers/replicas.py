"""Replicas: further endpoints that serve the same model as the base URL of a teacher.

A run distributes its calls over all of them: `generation.endpoint_gates` chooses the endpoint of each call, because it knows how
many calls each has in flight and how many it may have. Other callers, such as chats, use the base URL.

Keys: the key and the headers of the settings belong to the host of the base URL. A replica on this host gets them too, unless they
would be sent without the encryption of the base URL. Any other replica gets neither; its key is read from the environment variable
that follows its URL after '#'.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence

from glan_core.teachers.contract import DecodingParams, Message, Reply, TeacherError
from glan_core.teachers.endpoint_settings import KEY_VARIABLE, NO_KEY, EndpointSettings, same_host, split_replica
from glan_core.teachers.http_teacher import HttpTeacher
from glan_core.teachers.ray_teacher import RayTeacher
from glan_core.teachers.wire_format import OPENAI_URL


class ReplicatedTeacher:
    """One model that several endpoints serve.

    Attributes:
        name: Name of the teacher.
        url: The base URL.
        replicas: Teacher of each endpoint, that of the base URL first.
    """

    def __init__(self, replicas: Sequence[HttpTeacher | RayTeacher]) -> None:
        self.replicas = tuple(replicas)
        self.name, self.url = self.replicas[0].name, self.replicas[0].url

    @property
    def notices(self) -> Sequence[str]:
        """See Teacher."""
        return tuple(notice for teacher in self.replicas for notice in teacher.notices)

    async def reply(self, messages: Sequence[Message], decoding: DecodingParams) -> Reply:
        """Return the reply of the base URL; see Teacher."""
        return await self.replicas[0].reply(messages, decoding)

    def stream(self, messages: Sequence[Message], decoding: DecodingParams) -> AsyncGenerator[str | Reply, None]:
        """Stream the reply of the base URL; see Teacher."""
        return self.replicas[0].stream(messages, decoding)

    async def close(self) -> None:
        """See Teacher."""
        for teacher in self.replicas:
            await teacher.close()


def with_replicas(
    first: HttpTeacher, settings: EndpointSettings, *, key: str | None = None, environment: Mapping[str, str] | None = None
) -> HttpTeacher | ReplicatedTeacher:
    """Return a teacher that also has the replicas of the settings; `first` itself if there are none besides its own URL.

    Args:
        first: Teacher of the base URL.
        settings: Settings of the endpoint.
        key: API key of the base URL, None for the one in the key variable.
        environment: Keys that a user typed, by variable; they precede those of this process.

    Raises:
        TeacherError: If a replica cannot be opened.
    """
    further = {url: variable for url, variable in map(split_replica, settings.replicas) if url != first.url}
    if not further:
        return first
    teachers = [first]
    for url, variable in further.items():
        shared = same_host(url, first.url)
        own = {"base_url": url, "replicas": (), "key_variable": variable or (settings.key_variable if shared else NO_KEY)}
        if url == OPENAI_URL and not (variable or shared):
            raise TeacherError(
                f"The replica {url} needs a key. Append the name of its environment variable: {url}#{KEY_VARIABLE}."
            )
        at = settings.model_copy(update=own | ({} if shared else {"headers": {}}))
        given = (environment or {}).get(variable) if variable else key if shared else None
        teachers.append(HttpTeacher(first.model, settings=at, key=given))
    return ReplicatedTeacher(teachers)
