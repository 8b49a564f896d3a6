"""Model loading for training: base model or a new one, tokenizer, adapter and precision."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glan_core.errors import GlanError
from glan_core.io import packaged_models
from glan_core.training.chat_encoding import Encoder, template_of
from glan_core.training.settings import FinetuneSettings

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PROBE = 512  # matrix size of the precision benchmark


@dataclass(frozen=True)
class LoadedModel:
    """A model ready for training.

    Attributes:
        model: The model, with its adapter if it has one.
        tokenizer: Its tokenizer.
        encoder: Chat encoding of pairs.
        precision: 'fp32' or 'bf16'.
    """

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    encoder: Encoder
    precision: str

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def trained_parameters(self) -> int:
        """Number of trainable parameters."""
        return sum(parameter.numel() for parameter in self.model.parameters() if parameter.requires_grad)


def load_base(settings: FinetuneSettings, precision: str) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    """Load the weights and the tokenizer of the base model, downloading them from the Hub if needed.

    Raises:
        GlanError: If they cannot be loaded or are not safetensors.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    packaged_models.convert(settings.base or "")
    place = packaged_models.local_place(settings.base or "")
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, trust_remote_code=False)
        model: Any = AutoModelForCausalLM.from_pretrained(
            place,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=_storage_dtype(settings, precision),
            **_quantized(settings),
        )
    except (OSError, ValueError, ImportError, KeyError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(".")
        raise GlanError(
            f"Base model {settings.base} cannot be loaded: {first}. Use a folder with config, tokenizer and safetensors "
            f"weights, or run 'hf download {settings.base}'."
        ) from None
    if torch.cuda.is_available() and settings.method != "qlora" and settings.world_size == 1:
        model = model.to("cuda")
    return model, tokenizer


def prepare_model(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", settings: FinetuneSettings, precision: str
) -> LoadedModel:
    """Prepare a loaded model for training: pad token, chat template, end token and adapter."""
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    template = template_of(tokenizer.chat_template)
    tokenizer.chat_template = template
    encoder = Encoder(tokenizer.backend_tokenizer, template, bos=tokenizer.bos_token, eos=str(tokenizer.eos_token))
    _add_end_token(model, encoder.end_id)
    model.config.use_cache = False
    if settings.method != "full":
        model = _with_adapter(model, settings)
    return LoadedModel(model, tokenizer, encoder, precision)


def _storage_dtype(settings: FinetuneSettings, precision: str) -> "torch.dtype":
    """Return the storage dtype of the weights.

    Trained weights stay fp32 regardless of the compute precision: a step at a learning rate like 3e-6 is below the
    resolution of bf16. Frozen weights under an adapter may be bf16.
    """
    import torch

    return torch.bfloat16 if precision == "bf16" and settings.method != "full" else torch.float32


def choose_precision(asked: str) -> str:
    """Return 'fp32' or 'bf16': the requested precision, or for 'auto' the faster one on this machine.

    GPUs with bf16 support use it. On CPUs both are timed, because bf16 is emulated without AVX512_BF16 or AMX and then takes
    more than twice as long.
    """
    if asked != "auto":
        return asked
    import torch

    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    return "bf16" if _seconds(torch.bfloat16) < 0.8 * _seconds(torch.float32) else "fp32"


def _seconds(dtype: "torch.dtype") -> float:
    """Return the best time of a matrix product, in seconds."""
    import torch

    a = torch.randn(PROBE, PROBE).to(dtype)
    best = float("inf")
    for _ in range(5):
        begun = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - begun)
    return best


def _quantized(settings: FinetuneSettings) -> dict:
    """Return the arguments for loading in 4 bits with method 'qlora' (Dettmers et al., arXiv 2305.14314)."""
    if settings.method != "qlora":
        return {}
    import torch
    from transformers import BitsAndBytesConfig

    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        raise GlanError("QLoRA needs bitsandbytes. Install it, or use the method 'lora'.") from None
    if not torch.cuda.is_available():
        raise GlanError("QLoRA needs a GPU. Use the method 'lora'.")
    config = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.bfloat16
    )
    return {"quantization_config": config, "device_map": {"": 0}}


def _with_adapter(model: "PreTrainedModel", settings: FinetuneSettings) -> "PreTrainedModel":
    """Add a LoRA adapter (Hu et al., arXiv 2106.09685) to all linear layers except the head; the rest is frozen."""
    import torch
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    torch.manual_seed(settings.seed)
    if settings.method == "qlora":
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    config = LoraConfig(
        r=settings.lora_rank, lora_alpha=settings.lora_alpha, lora_dropout=settings.lora_dropout, target_modules="all-linear",
        task_type="CAUSAL_LM",
    )  # fmt: skip
    adapted: Any = get_peft_model(model, config)
    return adapted


def _add_end_token(model: "PreTrainedModel", end_id: int) -> None:
    """Add the end token of answers to the EOS tokens of generation; a chat template's often differs from the base's."""
    if model.generation_config is None:
        return
    ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [] if ends is None else [ends]
    model.generation_config.eos_token_id = list(dict.fromkeys([end_id, *ends]))
