"""Loading the model that is to be trained, in the process that trains it: base or a new one, tokenizer, adapter, precision."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glan_core.errors import GlanError
from glan_core.training.chat_encoding import Encoder, template_of
from glan_core.training.settings import FinetuneSettings

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PROBE = 512  # width of the matrices by which a processor's precision is chosen


@dataclass(frozen=True)
class LoadedModel:
    """What is trained: the model (with its adapter, where it has one), its tokenizer, how pairs are written for it, and the name of
    the numbers' precision."""

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    encoder: Encoder
    precision: str

    @property
    def parameters(self) -> int:
        """How many numbers the model has in all."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def trained_parameters(self) -> int:
        """How many of them are trained."""
        return sum(parameter.numel() for parameter in self.model.parameters() if parameter.requires_grad)


def load_base(settings: FinetuneSettings, precision: str) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    """The weights and the tokenizer that an order begins with; the hub is asked for what is not on this machine.

    GlanError when they can't be had, are no safetensors, or do not fit into memory.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(settings.base, trust_remote_code=False)
        model = AutoModelForCausalLM.from_pretrained(
            settings.base,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=_stored_as(settings, precision),
            **_quantized(settings),
        )
    except (OSError, ValueError, ImportError, KeyError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(".")
        raise GlanError(
            f"The base model {settings.base} can't be loaded: {first}. Give a folder that holds config, tokenizer and safetensors "
            f"weights, or bring it with 'hf download {settings.base}'."
        ) from None
    if torch.cuda.is_available() and settings.method != "qlora" and settings.processes == 1:
        model = model.to("cuda")
    return model, tokenizer


def ready(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", settings: FinetuneSettings, precision: str
) -> LoadedModel:
    """A loaded model made ready for training: pad token, chat template, end token, adapter."""
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    tokenizer.chat_template = template_of(tokenizer.chat_template)
    encoder = Encoder(tokenizer.backend_tokenizer, tokenizer.chat_template, bos=tokenizer.bos_token, eos=tokenizer.eos_token)
    _let_stop(model, encoder.end_id)
    model.config.use_cache = False
    if settings.method != "full":
        model = _with_adapter(model, settings)
    return LoadedModel(model, tokenizer, encoder, precision)


def _stored_as(settings: FinetuneSettings, precision: str) -> "torch.dtype":
    """The number type of the weights in memory. Weights that are trained stay fp32, whatever is computed with: a step of a
    learning rate like the paper's 3e-6 is smaller than what bf16 can tell apart. Those under an adapter never change."""
    import torch

    return torch.bfloat16 if precision == "bf16" and settings.method != "full" else torch.float32


def choose_precision(asked: str) -> str:
    """'fp32' or 'bf16': what was asked for, or what this machine computes faster.

    On a GPU that has it, bf16. On a processor it is tried: without AVX512_BF16 or AMX, bf16 is emulated and takes more than twice as
    long.
    """
    if asked != "auto":
        return asked
    import torch

    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    return "bf16" if _seconds(torch.bfloat16) < 0.8 * _seconds(torch.float32) else "fp32"


def _seconds(dtype: "torch.dtype") -> float:
    """How long a product of matrices takes at best."""
    import torch

    a = torch.randn(PROBE, PROBE).to(dtype)
    best = float("inf")
    for _ in range(5):
        begun = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - begun)
    return best


def _quantized(settings: FinetuneSettings) -> dict:
    """What loading in 4 bits takes (QLoRA: Dettmers et al., arXiv 2305.14314), for a 'qlora' order."""
    if settings.method != "qlora":
        return {}
    import torch
    from transformers import BitsAndBytesConfig

    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        raise GlanError("QLoRA needs bitsandbytes: install it, or choose the method lora.") from None
    if not torch.cuda.is_available():
        raise GlanError("QLoRA needs a GPU: choose the method lora.")
    config = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.bfloat16
    )
    return {"quantization_config": config, "device_map": {"": 0}}


def _with_adapter(model: "PreTrainedModel", settings: FinetuneSettings) -> "PreTrainedModel":
    """The model with a new LoRA adapter (Hu et al., arXiv 2106.09685) to all its linear layers but the head; the rest is frozen."""
    import torch
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    torch.manual_seed(settings.seed)
    if settings.method == "qlora":
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    config = LoraConfig(
        r=settings.lora_rank, lora_alpha=settings.lora_alpha, lora_dropout=settings.lora_dropout, target_modules="all-linear",
        task_type="CAUSAL_LM",
    )  # fmt: skip
    return get_peft_model(model, config)


def _let_stop(model: "PreTrainedModel", end_id: int) -> None:
    """Make sure that generation stops at the token by which answers end: a chat template's is often not the base's own."""
    ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [] if ends is None else [ends]
    model.generation_config.eos_token_id = list(dict.fromkeys([end_id, *ends]))
