"""An encoder that sentence-transformers computes, for models that ask for more than the kit's own encoder does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from distillcse_kit.config import Pooling, Precision
from distillcse_kit.data.reading import one_line
from distillcse_kit.data.tokens import require_list
from distillcse_kit.encoder.devices import chosen_device
from distillcse_kit.encoder.loading import model_files, model_folder, quietly, require_no_pickle
from distillcse_kit.encoder.makers_way import makers_way, module_folders
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.errors import KitError
from distillcse_kit.store import file_fingerprint


class LibraryEncoder:
    """A model as ``sentence_transformers.SentenceTransformer`` computes it, with the kit's ``encode``.

        h = modules(prompt + sentence)        all modules of the model's modules.json, in their order

    It can teach, embed and be scored. It cannot be trained: that is done to the transformer alone.

    Args:
        source: a folder or a hub name.
        device: where it computes, as for ``SentenceEncoder.load``.

    Raises:
        KitError: sentence-transformers is not installed or cannot load the model, or weights are pickles.

    Attributes:
        model: the ``SentenceTransformer``, in float32.
        name: what it was loaded from, for messages.
        pooling: what it does that the kit's own encoder does not, in words, and who does it.
    """

    def __init__(self, source: str | Path, device: str | torch.device = "auto") -> None:
        place, folder = chosen_device(device), model_folder(source)
        beyond = makers_way(folder).beyond
        self.name, self.pooling = str(source), f"{beyond}, by sentence-transformers"
        for part in module_folders(folder):
            require_no_pickle(part, source)
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise KitError(
                f"{source} has {beyond}, which sentence-transformers computes; install it: "
                "pip install 'distillcse-kit[integrations]'."
            ) from error
        self._files = file_fingerprint(*model_files(folder))
        try:
            with quietly(), torch.random.fork_rng(devices=[]):
                self.model = SentenceTransformer(
                    str(folder),
                    device=str(place),
                    local_files_only=True,
                    trust_remote_code=False,
                    model_kwargs={"use_safetensors": True, "dtype": torch.float32},
                )
        except Exception as error:  # its modules raise errors of many kinds
            raise KitError(
                f"sentence-transformers cannot load {source} ({type(error).__name__}: {one_line(error)}); get its "
                "files again, or give another model."
            ) from error
        self.model.eval()

    @property
    def width(self) -> int:
        """d, the size of a sentence embedding."""
        return int(self.model.get_embedding_dimension() or 0)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.device

    @property
    def max_tokens(self) -> int:
        """The longest input in word pieces, the prompt included."""
        limit = self.model.max_seq_length
        return np.iinfo(np.int32).max if limit is None or np.isinf(limit) else int(limit)

    def fingerprint(self) -> str:
        """A hash of all files that decide the embeddings."""
        return self._files

    def encode(
        self,
        sentences: Sequence[str],
        batch_size: int = 64,
        normalize_embeddings: bool = False,
        show_progress_bar: bool | None = None,
        precision: Precision = "float32",
        max_tokens: int | None = None,
    ) -> np.ndarray:
        """Embed sentences, float32 [n, d].

        Args:
            sentences, batch_size, normalize_embeddings, show_progress_bar: as for ``SentenceEncoder.encode``.
            precision: "float32" or "auto", which are the same here.
            max_tokens: sentences are cut here, if this is below the model's own limit. A model that averages vectors
                of single words (``StaticEmbedding``) has no limit, and reads them whole.

        Raises:
            KitError: ``sentences`` is one string, or the precision is "bfloat16".
        """
        require_list(sentences)
        if precision == "bfloat16":
            raise KitError(f"sentence-transformers computes {self.name} in float32; choose that precision, or auto.")
        with self._cut_at(max_tokens):
            found = self.model.encode(
                list(sentences),
                batch_size=batch_size,
                normalize_embeddings=normalize_embeddings,
                show_progress_bar=show_progress_bar,
            )
        return np.asarray(found, dtype=np.float32).reshape(len(sentences), self.width)

    @contextmanager
    def _cut_at(self, max_tokens: int | None) -> Iterator[None]:
        """Inside, the model's limit is ``max_tokens`` if that is the shorter one."""
        whole = self.model.max_seq_length
        if max_tokens is None or whole is None or np.isinf(whole) or max_tokens >= whole:
            yield
            return
        self.model.max_seq_length = max_tokens
        try:
            yield
        finally:
            self.model.max_seq_length = whole


AnyEncoder = SentenceEncoder | LibraryEncoder


def load_encoder(
    source: str | Path = "micro", pooling: Pooling | None = None, device: str | torch.device = "auto"
) -> AnyEncoder:
    """Load any encoder as its maker means it.

    The kit's own encoder computes it where it does all that the model's files ask for, else sentence-transformers does.

    When to use it: for a model that the kit has not trained, as a teacher or to compare with.

    Args:
        source: "micro", a folder, or a hub name ("owner/model", or "owner/model@revision").
        pooling: None does what the model's files say. A name takes the model's transformer alone, with this pooling.
        device: where it computes, as for ``SentenceEncoder.load``.

    Raises:
        KitError: the model cannot be found or loaded, or neither way computes what its files ask for.

    Example:
        >>> from distillcse_kit import load_encoder
        >>> load_encoder("micro").encode(["A man is playing a guitar."]).shape
        (1, 192)
    """
    if pooling is None and makers_way(model_folder(source)).beyond:
        return LibraryEncoder(source, device)
    return SentenceEncoder.load(source, pooling, device=device)
