"""A sentence encoder: any Hugging Face encoder and a pooler; a head only where the model was trained to keep it.

Loads from a folder, a hub name, or "micro" (the encoder that ships with the kit); saves a folder that
``sentence_transformers.SentenceTransformer`` loads with the same pooling.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel

from distillcse_kit.config import POOLINGS, Pooling, Precision, choose
from distillcse_kit.data.tokens import pad_rows, require_list, tokenizer_rules
from distillcse_kit.encoder.architectures import FLOAT32_ONLY, positions, require_known, without_pooler
from distillcse_kit.encoder.devices import chosen_device, use_bfloat16
from distillcse_kit.encoder.dropout_rates import set_dropout
from distillcse_kit.encoder.export import plain_pooler, sentence_transformers_files
from distillcse_kit.encoder.head import load_head, save_head
from distillcse_kit.encoder.loading import model_folder, one_sentence, quietly, require_complete, require_safe_weights
from distillcse_kit.encoder.makers_way import makers_way
from distillcse_kit.encoder.pooling import pool
from distillcse_kit.errors import KitError
from distillcse_kit.fast.packing import cls_state, hidden_states, is_like_bert
from distillcse_kit.fast.threads import in_threads, sharing
from distillcse_kit.progress import progress_bar
from distillcse_kit.whole_files import new_folder


class SentenceEncoder(nn.Module):
    """A sentence encoder: tokenizer, transformer and pooler, without a training head unless the model keeps it.

        h = pool(transformer(tokens(sentence)))        sim(a, b) = cos(h_a, h_b)

    =========  =========  ===============================================================================
    Input      Shape      Meaning
    =========  =========  ===============================================================================
    sentences  n strings  of any length; cut where the transformer has no positions left
    pooling    a name     one of ``POOLINGS``: "cls" as in the paper, or a mean of token states
    fast       a switch   leave padding and unread tokens out; False is transformers' own forward pass
    =========  =========  ===============================================================================

    When to use it: to embed and compare sentences, with the encoder that ships with the kit ("micro"), one you trained,
    or any BERT-like model of the hub. Calling it as a module gives the embeddings [N, d] of a padded batch, with
    gradient. Saved folders open in sentence-transformers as well.

    Reference: Gao et al., SimCSE (EMNLP 2021): [CLS] pooling; the training head is dropped.

    Attributes:
        model: the Hugging Face encoder.
        tokenizer: its tokenizer.
        pooling: one of ``POOLINGS``.
        name: what it was loaded from, for messages.
        fast: take the faster ways of the package ``fast``. The embeddings are the same, to rounding.
        normalised: whether ``encode`` always scales embeddings to length 1, as the model's maker wants.
        makers_limit: the longest input in word pieces, where the maker's files give one.
        head: what is computed from the pooled states, in models trained with ``keep_head``; None in all others.

    Example:
        >>> from distillcse_kit import SentenceEncoder
        >>> encoder = SentenceEncoder.load("micro")
        >>> sentences = ["A man is playing a guitar.", "Someone plays the guitar.", "The stock market fell."]
        >>> embeddings = encoder.encode(sentences, normalize_embeddings=True)
        >>> embeddings.shape
        (3, 192)
        >>> cosines = embeddings @ embeddings.T
        >>> bool(cosines[0, 1] > cosines[0, 2])
        True
    """

    def __init__(
        self, model: PreTrainedModel, tokenizer: Any, pooling: Pooling = "cls", name: str = "", fast: bool = True
    ) -> None:
        super().__init__()
        choose("pooling", pooling, POOLINGS)
        self.model, self.tokenizer, self.pooling, self.name = model, tokenizer, pooling, name
        self.fast = fast
        self.normalised = False
        self.makers_limit: int | None = None
        self.head: nn.Module | None = None

    @classmethod
    def load(
        cls,
        source: str | Path = "micro",
        pooling: Pooling | None = None,
        fast: bool = True,
        device: str | torch.device = "auto",
        dropout: float | None = None,
    ) -> SentenceEncoder:
        """Load an encoder. torch's random state stays as it was.

        Args:
            source: "micro", a folder with config.json, a tokenizer and safetensors, or a hub name ("owner/model", or
                "owner/model@revision").
            pooling: None does what the model's files say (as this kit and sentence-transformers write them), and takes
                "cls" where they say nothing. A name takes the transformer alone, with this pooling and no head.
            fast: False computes with transformers' own forward pass, without threads.
            device: where it computes: "cpu", "cuda", "mps", or "auto", as in ``encoder.devices.chosen_device``.
            dropout: of all its layers, in training mode, in [0, 1); None keeps what its config says.

        Raises:
            KitError: the folder is missing, incomplete, damaged, or has pickle weights only; the hub cannot be reached;
                the kit does not compute the architecture, or not what the files ask for (``load_encoder`` may);
                this machine has no such device; dropout is given, and the config names none.
        """
        place = chosen_device(device)
        if pooling is not None:
            choose("pooling", pooling, POOLINGS)
        folder = model_folder(source)
        require_safe_weights(folder, source)
        way = makers_way(folder)
        if pooling is None and way.beyond:
            raise KitError(
                f"{source} has {way.beyond}, which sentence-transformers computes; load it with load_encoder, or name "
                f"a pooling ({', '.join(POOLINGS)}) to use its transformer alone."
            )
        # A model that lacks a pooler's weights has them drawn; the reader's random numbers must not change by that.
        with one_sentence(source), quietly(), torch.random.fork_rng(devices=[]):
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
            require_known(config, source)
            set_dropout(config, dropout, str(source))
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            model, report = AutoModel.from_pretrained(
                folder,
                config=config,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
                **without_pooler(config),
            )
        require_complete(report["missing_keys"], model, max(tokenizer.get_vocab().values()) + 1, source)
        encoder = cls(model, tokenizer, pooling or way.pooling, name=str(source), fast=fast)
        encoder.normalised = way.normalised and pooling is None
        encoder.makers_limit = way.max_tokens
        encoder.head = load_head(folder, encoder.width) if way.head and pooling is None else None
        return encoder.to(place)

    @property
    def width(self) -> int:
        """d, the size of a sentence embedding."""
        return int(self.model.config.hidden_size)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.device

    @property
    def max_tokens(self) -> int:
        """The longest input in word pieces: what the model has positions for, or less if its maker says so."""
        limits = [positions(self.model), int(self.tokenizer.model_max_length), self.makers_limit]
        return min(limit for limit in limits if limit is not None)

    def fingerprint(self) -> str:
        """A hash of all weights, the pooling and the tokenizer: two encoders with the same hash are the same."""
        weights = self.model.state_dict() | ({} if self.head is None else self.head.state_dict(prefix="head."))
        digest = hashlib.sha256(f"{self.pooling} {self.max_tokens}".encode())
        digest.update(tokenizer_rules(self.tokenizer).encode())
        for name, weight in sorted(weights.items()):
            digest.update(name.encode())
            digest.update(weight.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Token ids and attention mask [N, L] -> embeddings [N, d] with gradient."""
        pooled = self._pooled(batch)
        return pooled if self.head is None else self.head(pooled)

    def _pooled(self, batch: Mapping[str, Tensor]) -> Tensor:
        if self.model.config.model_type in FLOAT32_ONLY:
            with torch.autocast(self.device.type, enabled=False):
                states = self.model(**batch, output_hidden_states=True).hidden_states
        elif self.fast and is_like_bert(self.model):
            if self.pooling in ("cls", "cls_before_pooler"):
                return cls_state(self.model, batch)
            states = hidden_states(self.model, batch)
        else:
            states = self.model(**batch, output_hidden_states=True).hidden_states
        return pool(states, batch["attention_mask"], self.pooling)

    def pad(self, token_ids: Sequence[Sequence[int]] | Sequence[np.ndarray]) -> dict[str, Tensor]:
        """Token ids of sentences -> padded ids and mask [N, L] on the encoder's device."""
        ids = pad_rows(token_ids, self.tokenizer.pad_token_id)
        lengths = torch.tensor([len(row) for row in token_ids])
        mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
        return {"input_ids": ids.to(self.device), "attention_mask": mask.to(self.device)}

    def tokenize(self, sentences: Sequence[str], max_tokens: int | None = None) -> list[list[int]]:
        """Word-piece ids of each sentence, [CLS] and [SEP] included, cut to ``max_tokens`` or the encoder's limit."""
        if not len(sentences):
            return []
        limit = min(max_tokens or self.max_tokens, self.max_tokens)
        return self.tokenizer(list(sentences), truncation=True, max_length=limit)["input_ids"]

    def encode(
        self,
        sentences: Sequence[str],
        batch_size: int = 64,
        normalize_embeddings: bool = False,
        show_progress_bar: bool | None = None,
        precision: Precision = "float32",
    ) -> np.ndarray:
        """Embed sentences: in evaluation mode, not cut at the length of training.

        Args:
            sentences: n texts.
            batch_size: sentences a batch; a batch holds sentences of similar length.
            normalize_embeddings: scale each embedding to length 1.
            show_progress_bar: None shows one for more than 100 batches. A bar needs a terminal or a notebook.
            precision: "float32", "bfloat16", or "auto" (bfloat16 where the processor computes in it).

        Raises:
            KitError: ``sentences`` is one string, not a list.

        Returns:
            float32 [n, d], in the order of ``sentences``.
        """
        require_list(sentences)
        return self.encode_tokens(
            self.tokenize(sentences), batch_size, normalize_embeddings, show_progress_bar, precision
        )

    def encode_tokens(
        self,
        token_ids: Sequence[Sequence[int]] | Sequence[np.ndarray],
        batch_size: int = 64,
        normalize_embeddings: bool = False,
        show_progress_bar: bool | None = None,
        precision: Precision = "float32",
    ) -> np.ndarray:
        """``encode`` for sentences that are already token ids of this encoder's tokenizer."""
        result = np.zeros((len(token_ids), self.width), dtype=np.float32)
        # Longest first: there is little padding, and a batch that does not fit in memory fails at once.
        order = np.argsort([-len(ids) for ids in token_ids], kind="stable")
        batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
        shown = len(batches) > 100 if show_progress_bar is None else show_progress_bar
        lower = use_bfloat16(precision, self.device)

        @torch.inference_mode()
        def embed(rows: np.ndarray) -> np.ndarray:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=lower):
                embeddings = self(self.pad([token_ids[row] for row in rows])).float()
            if normalize_embeddings or self.normalised:
                embeddings = F.normalize(embeddings, dim=-1)
            return embeddings.cpu().numpy()

        was_training = self.training
        self.eval()
        try:
            with sharing(len(batches) if self.fast and self.device.type == "cpu" else 1):
                found = in_threads(partial(embed, rows) for rows in batches)
                for rows in progress_bar(batches, shown, desc="encode"):
                    result[rows] = next(found)
        finally:
            self.train(was_training)
        return result

    def save(self, path: str | Path) -> Path:
        """Write a folder that this kit, transformers and sentence-transformers can load, with the right pooling."""
        path = Path(path)
        with new_folder(path) as folder:
            self.save_into(folder)
        return path

    def save_into(self, folder: Path) -> None:
        """Write the files of ``save`` into an existing folder."""
        with quietly():
            weights = self.model.state_dict() | plain_pooler(self.model.config)
            self.model.save_pretrained(folder, state_dict=weights)
            self.tokenizer.save_pretrained(folder)
        if self.head is not None:
            save_head(self.head, folder)
        about = self.pooling, self.width, self.max_tokens, self.normalised, self.head is not None
        for name, content in sentence_transformers_files(*about).items():
            file = folder / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
