"""Sending a dataset to the Hugging Face Hub. The token is that of HF_TOKEN or of the login that huggingface_hub knows; it is
never part of an order or of a text."""

from pathlib import Path

from glan_core.errors import GlanError


def check_login() -> None:
    """GlanError when nobody is logged in."""
    from huggingface_hub import get_token

    if not get_token():
        raise GlanError("Nobody is logged in to the Hub: set HF_TOKEN, or log in with 'hf auth login'.")


def push(folder: Path, repo: str, *, private: bool, title: str = "", api=None) -> str:
    """Send a folder as the dataset 'owner/name', which is made where it is not there, in one commit; its address.

    What an earlier dataset of that name had of data files is replaced. GlanError when the Hub can't be reached or refuses.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError

    api = api or HfApi()
    try:
        url = api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repo, repo_type="dataset", folder_path=folder, commit_message=f"GLAN Studio: {title or 'dataset'}",
            delete_patterns=["*.parquet", "*.jsonl", "*.arrow"],
        )  # fmt: skip
    except HFValidationError:
        raise GlanError(f"{repo} is no name for a dataset on the Hub: write it as owner/name.") from None
    except HfHubHTTPError as error:
        raise GlanError(_refused(repo, getattr(error.response, "status_code", None))) from None
    except (OSError, HTTPError, RuntimeError):
        raise GlanError("The Hub could not be reached, or the connection broke: nothing was published. Try again.") from None
    return str(url)


def _refused(repo: str, status: int | None) -> str:
    match status:
        case 401:
            return "The Hub does not know the token: log in again, or set another HF_TOKEN."
        case 403 | 404:
            return f"The Hub does not let this login write to {repo}: it needs a token with write access, and an owner that is yours."
        case _:
            return f"The Hub did not take the dataset{f' (status {status})' if status else ''}: try again later."
