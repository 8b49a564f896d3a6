"""Chat with tuned models, their bases, local weights and OpenAI-compatible endpoints, up to four side by side.

The model server holds weights and generates replies; `models.server_client` starts it on demand. Conversations and votes are
stored in the workspace.

    from glan_core.chat import release
    release()  # stops the model server and releases its memory
"""

from glan_core.models.server_client import release

__all__ = ["release"]
