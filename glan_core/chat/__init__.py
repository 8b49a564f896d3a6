"""Talking to models: tuned ones, their bases, any local weights, any OpenAI-compatible endpoint; up to four side by side.

Weights are held and answers are written by one process of the machine (`chat.server`), which `chat.process` starts on demand
and talks to; nobody else imports torch. Conversations and votes are kept in the workspace.

    from glan_core.chat import release
    release()  # gives back the memory of the model process, before something else needs it
"""

from glan_core.models.server_client import release

__all__ = ["release"]
