"""Settings of the runs whose work can be done by a Ray cluster (`--engine ray`)."""

from typing import Literal

from pydantic import Field

from glan_core.settings import Settings

LOCAL = "local"  # a cluster of this machine, which ends with the run


class EngineSettings(Settings):
    """The engine of a run, and the cluster of the Ray engine."""

    engine: Literal["local", "ray"] = Field(
        "local", title="Engine", description="What does the work of the run: processes of this machine, or workers of a Ray cluster."
    )  # fmt: skip
    ray_address: str = Field(
        LOCAL, min_length=1, max_length=300, title="Ray address",
        description="Address of a running Ray cluster: auto or HOST:PORT on one of its nodes, for generation also ray://HOST:PORT; "
        "local starts one on this machine.",
        json_schema_extra={"metavar": "ADDRESS"},
    )  # fmt: skip


class RaySettings(EngineSettings):
    """The engine of a run, and the workers of the Ray engine."""

    ray_workers: int = Field(
        2, ge=1, le=1000, title="Ray workers", description="Workers (actors) of the Ray cluster that the work is divided over."
    )
