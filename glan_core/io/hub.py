"""Uploads of datasets and models to the Hugging Face Hub.

The token comes from HF_TOKEN or the login of huggingface_hub; it is never part of settings or messages.
"""

from pathlib import Path
from typing import Literal

from glan_core.errors import GlanError

Kind = Literal["dataset", "model"]
DATA = ["*.parquet", "*.jsonl", "*.arrow"]
WEIGHTS = ["*.safetensors", "*.safetensors.index.json"]


def check_login() -> None:
    """Check that the user is logged in to the Hub.

    Raises:
        GlanError: If there is no token.
    """
    from huggingface_hub import get_token

    if not get_token():
        raise GlanError("You are not logged in to the Hub. Set HF_TOKEN or run 'hf auth login'.")


def push(folder: Path, repo: str, *, private: bool, title: str = "", kind: Kind = "dataset", api=None) -> str:
    """Upload a folder as one commit, creating the repository if needed; return its URL.

    Data files or weights of an earlier upload are replaced.

    Args:
        folder: The folder to upload.
        repo: Repository as 'owner/name'.
        private: Whether a new repository is private.
        title: Title in the commit message.
        kind: Type of the repository.
        api: Client to use instead of `HfApi()`.

    Raises:
        GlanError: If the Hub cannot be reached or refuses the upload.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError

    api = api or HfApi()
    try:
        url = api.create_repo(repo, repo_type=kind, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repo, repo_type=kind, folder_path=folder, commit_message=f"GLAN Studio: {title or kind}",
            delete_patterns=DATA if kind == "dataset" else WEIGHTS,
        )  # fmt: skip
    except HFValidationError:
        raise GlanError(f"{repo} is not a valid {kind} name on the Hub. Use owner/name.") from None
    except HfHubHTTPError as error:
        raise GlanError(_refused(repo, kind, getattr(error.response, "status_code", None))) from None
    except (OSError, HTTPError, RuntimeError):
        raise GlanError("The Hub could not be reached or the connection was lost: nothing was published. Try again.") from None
    return str(url)


def _refused(repo: str, kind: Kind, status: int | None) -> str:
    match status:
        case 401:
            return "The Hub rejected the token. Log in again or set another HF_TOKEN."
        case 403 | 404:
            return f"You have no write access to {repo} on the Hub. Use a token with write access and an owner that you may write to."
        case _:
            return f"The Hub rejected the {kind}{f' (status {status})' if status else ''}. Try again later."
