"""Small models of many architectures, with random weights, as transformers and sentence-transformers save them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from conftest import SENTENCES
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, PreTrainedTokenizerFast
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING

from distillcse_kit.encoder.architectures import ARCHITECTURES
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder

POSITIONS = 64
BERT_STYLE = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ROBERTA_STYLE = ("<pad>", "<unk>", "<s>", "</s>", "<mask>")
LIKE_BERT: dict[str, Any] = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}

# Settings of each shape beside width, vocabulary and positions; "ids" is where its makers put the special tokens.
SHAPES: dict[str, dict[str, Any]] = {
    "bert": LIKE_BERT,
    "roberta": LIKE_BERT | {"ids": (1, 3, 0, 2, 4), "style": ROBERTA_STYLE},
    "xlm-roberta": LIKE_BERT | {"ids": (1, 3, 0, 2, 4), "style": ROBERTA_STYLE},
    "camembert": LIKE_BERT | {"ids": (1, 3, 0, 2, 4), "style": ROBERTA_STYLE},
    "distilbert": {"n_layers": 2, "n_heads": 2, "hidden_dim": 64},
    "mpnet": LIKE_BERT | {"ids": (1, 3, 0, 2, 4), "style": ROBERTA_STYLE},
    "electra": LIKE_BERT | {"embedding_size": 16},
    "albert": LIKE_BERT | {"embedding_size": 16},
    "deberta": LIKE_BERT | {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    "deberta-v2": LIKE_BERT | {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    "modernbert": LIKE_BERT | {"local_attention": 16, "global_attn_every_n_layers": 2},
    "roformer": LIKE_BERT | {"embedding_size": 32},
    "ernie": LIKE_BERT,
    "nomic_bert": LIKE_BERT,
    "eurobert": LIKE_BERT | {"num_key_value_heads": 2},
    "data2vec-text": LIKE_BERT | {"ids": (1, 3, 0, 2, 4), "style": ROBERTA_STYLE},
    "t5": {"num_layers": 2, "num_heads": 2, "d_kv": 16, "d_ff": 64},
    "qwen2": LIKE_BERT | {"num_key_value_heads": 2},
}


def word_tokenizer(ids: tuple[int, ...], style: tuple[str, ...]) -> PreTrainedTokenizerFast:
    """A tokenizer of whole words that adds the first and the last token as BERT's does, without a limit.

    Args:
        ids: of padding, unknown word, first token, last token and mask: 0 to 4 in any order.
        style: how they are written, in the same order.
    """
    padding, unknown, first, last, mask = style
    vocabulary = dict(zip(style, ids, strict=True))
    for word in sorted({word for sentence in SENTENCES for word in sentence.split()}):
        vocabulary[word] = len(vocabulary)
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=unknown))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = [(first, vocabulary[first]), (last, vocabulary[last])]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{first} $A {last}", special_tokens=special)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=padding,
        unk_token=unknown,
        cls_token=first,
        sep_token=last,
        mask_token=mask,
    )


def make_shape(kind: str, folder: Path, **changes: Any) -> Path:
    """A small model of one architecture with random weights, saved by transformers, without a word about pooling."""
    settings = {"ids": (0, 1, 2, 3, 4), "style": BERT_STYLE, **SHAPES[kind], **changes}
    tokenizer = word_tokenizer(settings.pop("ids"), settings.pop("style"))
    width = {"distilbert": "dim", "t5": "d_model"}.get(kind, "hidden_size")
    config = AutoConfig.for_model(
        kind,
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.2,  # large enough that attention prefers some tokens to others
        bos_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
        **({} if kind == "t5" else {"max_position_embeddings": POSITIONS}),
        **{width: 32},
        **settings,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        masked = type(config) in MODEL_FOR_MASKED_LM_MAPPING
        (AutoModelForMaskedLM if masked else AutoModel).from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


TEXTS = ["the cook", *SENTENCES[:9], "an apple " * 20, "a", "two letters " * POSITIONS]


def saved_with_pooling(shape: Path, folder: Path, mode: str) -> Path:
    """The same model as sentence-transformers saves it with a pooling."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    body = Transformer(str(shape))
    # sentence-transformers itself would read more tokens than such a model has positions for.
    starts = getattr(getattr(getattr(body.model, "embeddings", None), "position_embeddings", None), "padding_idx", None)
    body.tokenizer.model_max_length = POSITIONS - (0 if starts is None else starts + 1)
    pooling = Pooling(body.get_embedding_dimension(), mode)
    SentenceTransformer(modules=[body, pooling], device="cpu").save(str(folder))
    return folder


def theirs(folder: Path) -> np.ndarray:
    """sentence-transformers' own embeddings of ``TEXTS``."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu").encode(TEXTS, batch_size=4)


def differences(shape: Path) -> dict[str, float]:
    """{pooling: the largest difference of any value of any embedding of ``TEXTS`` from sentence-transformers'}."""
    found = {}
    for ours, mode in (("cls", "cls"), ("avg", "mean")):
        with tempfile.TemporaryDirectory() as name:
            folder = saved_with_pooling(shape, Path(name) / "saved", mode)
            encoder = SentenceEncoder.load(folder)
            assert encoder.pooling == ours
            found[ours] = float(np.abs(encoder.encode(TEXTS, batch_size=5) - theirs(folder)).max())
    return found


if __name__ == "__main__":  # python tests/shapes.py: the table of docs/encoders.md
    for kind in ARCHITECTURES:
        with tempfile.TemporaryDirectory() as root:
            measured = differences(make_shape(kind, Path(root) / kind))
            print(f"| {kind:<13} | {measured['cls']:.0e} | {measured['avg']:.0e} |")
