"""The architectures that the kit's own encoder computes: each is tested against sentence-transformers, to 1e-5.

An architecture that is not listed here may pad, mask or read in another way, and would give wrong numbers without a
word. FNet, ConvBERT and Nystromformer, for example, give a sentence other embeddings when it is padded.
"""

from __future__ import annotations

import inspect
from typing import Any, cast

from transformers import MODEL_MAPPING, PretrainedConfig, PreTrainedModel

from distillcse_kit.errors import KitError

ARCHITECTURES = (
    "albert",
    "bert",
    "camembert",
    "data2vec-text",
    "deberta",
    "deberta-v2",
    "distilbert",
    "electra",
    "ernie",
    "eurobert",
    "modernbert",
    "mpnet",
    "nomic_bert",
    "roberta",
    "roformer",
    "xlm-roberta",
)

# Its attention mask holds float32's lowest number, which bfloat16 cannot hold.
FLOAT32_ONLY = ("deberta",)


def computes(model_type: str, is_decoder: bool) -> bool:
    """Whether the kit's own encoder computes this architecture; a decoder's first token does not know the others."""
    return model_type in ARCHITECTURES and not is_decoder


def require_known(config: PretrainedConfig, source: object) -> None:
    """KitError unless the kit's own encoder computes this architecture.

    Args:
        config: of the model.
        source: its folder or hub name, for the message.
    """
    is_decoder = bool(getattr(config, "is_decoder", False))
    if not computes(config.model_type, is_decoder):
        what = f"the decoder {config.model_type}" if is_decoder else config.model_type
        raise KitError(
            f"The kit does not pool {source} itself, since its architecture is {what}; give a folder that "
            "sentence-transformers has saved with a pooling, to embed and score with it, or a model of one of these "
            f"architectures, to train it: {', '.join(ARCHITECTURES)}."
        )


def without_pooler(config: PretrainedConfig) -> dict[str, Any]:
    """The argument that leaves out transformers' own pooler, which the kit does not use; empty where there is none."""
    return {"add_pooling_layer": False} if has_pooler(config) else {}


def has_pooler(config: PretrainedConfig) -> bool:
    """Whether transformers builds a pooler (Linear + tanh over [CLS]) on this architecture."""
    return "add_pooling_layer" in inspect.signature(model_class(config)).parameters


def model_class(config: PretrainedConfig) -> type[PreTrainedModel]:
    """The class that ``AutoModel`` builds from a config."""
    return cast("type[PreTrainedModel]", MODEL_MAPPING[type(config)])


def positions(model: PreTrainedModel) -> int:
    """How many tokens the model has positions for.

    Models like RoBERTa count positions from the padding id on, so that their first ones are never used.
    """
    limit = int(getattr(model.config, "max_position_embeddings", 512))
    embeddings = getattr(getattr(model, "embeddings", None), "position_embeddings", None)
    first_unused = getattr(embeddings, "padding_idx", None)
    return limit if first_unused is None else limit - first_unused - 1
