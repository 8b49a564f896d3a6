"""Sending a dataset or a model to the Hugging Face Hub. The token is that of HF_TOKEN or of the login that huggingface_hub knows; it is
never part of an order or of a text."""

from pathlib import Path
from typing import Literal

from glan_core.errors import GlanError

Kind = Literal["dataset", "model"]
DATA = ["*.parquet", "*.jsonl", "*.arrow"]
WEIGHTS = ["*.safetensors", "*.safetensors.index.json"]


def check_login() -> None:
    """GlanError when nobody is logged in."""
    from huggingface_hub import get_token

    if not get_token():
        raise GlanError("Nobody is logged in to the Hub: set HF_TOKEN, or log in with 'hf auth login'.")


def push(folder: Path, repo: str, *, private: bool, title: str = "", kind: Kind = "dataset", api=None) -> str:
    """Send a folder as the dataset or model 'owner/name', which is made where it is not there, in one commit; its address.

    What an earlier one of that name had of data files or weights is replaced. GlanError when the Hub can't be reached or refuses.
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
        raise GlanError(f"{repo} is no name for a {kind} on the Hub: write it as owner/name.") from None
    except HfHubHTTPError as error:
        raise GlanError(_refused(repo, kind, getattr(error.response, "status_code", None))) from None
    except (OSError, HTTPError, RuntimeError):
        raise GlanError("The Hub could not be reached, or the connection broke: nothing was published. Try again.") from None
    return str(url)


def _refused(repo: str, kind: Kind, status: int | None) -> str:
    match status:
        case 401:
            return "The Hub does not know the token: log in again, or set another HF_TOKEN."
        case 403 | 404:
            return f"The Hub does not let this login write to {repo}: it needs a token with write access, and an owner that is yours."
        case _:
            return f"The Hub did not take the {kind}{f' (status {status})' if status else ''}: try again later."
