"""Settings of the jobs that merge and export tuned models."""

from typing import Literal

from pydantic import AliasChoices, Field, field_validator

from glan_core.dataset.settings import checked_license, checked_repo
from glan_core.models.gguf_file import GgufType
from glan_core.settings import Settings


class MergeSettings(Settings):
    """Settings of a merge: the adapter of a model is merged into its base and stored as a model of its own."""

    model: str = Field(title="Model", description="Name of the model with the adapter.")
    name: str = Field(title="Name", description="Name of the merged model.")
    kind: Literal["merge"] = "merge"


class ModelExportSettings(Settings):
    """Settings of a model export: a copy with its model card in a folder, or on the Hugging Face Hub."""

    model: str = Field(title="Model", description="Name of the model.")
    path: str | None = Field(
        None, title="Folder", description="New folder to write the model to.", json_schema_extra={"metavar": "FOLDER"}
    )
    gguf: GgufType | None = Field(
        None, title="GGUF",
        description="Write one GGUF file of this type with a Modelfile, for Ollama, llama.cpp and LM Studio, instead of safetensors; an adapter is "
        "merged into its base. f16 keeps the quality of training, q8_0 has half its size.",
    )  # fmt: skip
    repo: str | None = Field(
        None, title="Hub repository", description="Push the model to the Hugging Face Hub (HF_TOKEN, or your login).",
        json_schema_extra={"metavar": "OWNER/NAME"},
    )  # fmt: skip
    private: bool = Field(True, title="Private", description="Only you and your organization can see the repository.")
    license: str | None = Field(
        None, validation_alias=AliasChoices("license", "licence"), title="License",
        description="License identifier for the model card, such as apache-2.0.", json_schema_extra={"metavar": "ID"},
    )  # fmt: skip
    kind: Literal["model-export"] = "model-export"

    _repo = field_validator("repo")(checked_repo)
    _license = field_validator("license")(checked_license)
