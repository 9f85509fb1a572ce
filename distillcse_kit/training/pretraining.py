"""The micro encoder: a small BERT that learns English from plain text by masked language modelling.

There are four steps. Learn a word-piece vocabulary. Take the truncated SVD of the positive PMI matrix as token
embeddings, so that the model starts with the meaning that words get from their neighbours, not with noise. Train on
the masked-LM loss. Write a folder that transformers and sentence-transformers can load.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BertForMaskedLM, BertTokenizer

from distillcse_kit.data.tokens import TokenizedText
from distillcse_kit.encoder.devices import chosen_device
from distillcse_kit.encoder.export import sentence_transformers_files
from distillcse_kit.errors import KitError
from distillcse_kit.one_process import require_one_process
from distillcse_kit.store import Store, as_text
from distillcse_kit.training.masked_lm import new_micro_encoder, new_optimiser
from distillcse_kit.training.pretraining_loop import Pretraining, run_pretraining
from distillcse_kit.training.pretraining_objective import PretrainingObjective
from distillcse_kit.training.pretraining_settings import PretrainingSettings
from distillcse_kit.training.word_pieces import learn_vocabulary, new_tokenizer, ppmi_svd_embeddings
from distillcse_kit.whole_files import new_folder


def pretrain(
    sentences: Sequence[str],
    fingerprint: str,
    out: Path,
    settings: PretrainingSettings,
    store: Store,
    compile_model: bool = True,
    say: Callable[[str], None] = print,
    device: str | torch.device = "auto",
) -> Path:
    """Make a micro encoder from sentences. A pretraining that was interrupted continues where it stopped.

    Args:
        sentences: the training text.
        fingerprint: identifies the text, as ``corpus_fingerprint`` does.
        out: the model folder to write. It also gets ``pretraining.json`` (settings, loss curve, time).
        settings: of the model and its training.
        store: keeps the vocabulary, the token ids, the vectors and the checkpoint.
        compile_model: use torch.compile. This needs a C++ compiler and pays off after some hundred steps.
        say: is called with one line of text at each step of the work.
        device: where to train, as in ``encoder.devices.chosen_device``.

    Returns:
        ``out``.

    Raises:
        KitError: ``out`` holds other files, the text has too few word pieces, the loss is not finite, the disk is
            full, this machine has no such device, or this is one of several processes of ``torchrun``.
    """
    require_one_process()
    place = chosen_device(device)
    started = time.monotonic()
    if out.is_dir() and any(out.iterdir()) and not (out / "pretraining.json").is_file():
        raise KitError(f"{out} holds other files, which the new encoder would replace; give --out a new folder.")
    content = {"settings": asdict(settings), "corpus": fingerprint}
    vocabulary = {"corpus": fingerprint, "sentences": settings.vocabulary_sentences, "size": settings.vocabulary_size}
    say(
        f"Vocabulary: {settings.vocabulary_size} word pieces "
        f"from {min(len(sentences), settings.vocabulary_sentences)} sentences."
    )
    pieces = store.json(
        "vocabularies",
        vocabulary,
        lambda: learn_vocabulary(list(sentences[: settings.vocabulary_sentences]), settings.vocabulary_size),
    )
    if len(pieces) <= settings.hidden_size:
        raise KitError(
            f"hidden_size is {settings.hidden_size}, but the text has only {len(pieces)} word pieces; "
            "give more text, or a smaller hidden_size."
        )
    tokenizer = new_tokenizer(pieces, settings.max_tokens)
    say(f"Tokenising {len(sentences)} sentences.")
    text = store.load_or_write(
        "tokens",
        {"vocabulary": pieces, "limit": settings.max_tokens, "corpus": fingerprint},
        ".npy",
        TokenizedText.load,
        lambda path: TokenizedText.write(path, sentences, tokenizer, settings.max_tokens),
    )
    say("Token vectors: truncated SVD of the positive PMI matrix.")

    def write_vectors(path: Path) -> None:
        with path.open("wb") as file:
            np.save(file, ppmi_svd_embeddings(text, len(pieces), settings.hidden_size, seed=settings.seed))

    vectors = store.array(
        "vectors",
        {"vocabulary": pieces, "corpus": fingerprint, "size": settings.hidden_size, "seed": settings.seed},
        write_vectors,
    )
    model = new_micro_encoder(settings, tokenizer, np.array(vectors))
    counts = torch.from_numpy(np.bincount(text.ids, minlength=len(pieces)))
    objective = PretrainingObjective(model, settings, counts).to(place)
    state = Pretraining(
        objective,
        new_optimiser(objective, settings.learning_rate),
        # An Apple GPU draws from torch's own generator there, which a run must not depend on.
        torch.Generator(place if place.type == "cuda" else "cpu").manual_seed(settings.seed),
        store.path("pretraining", content | {"vocabulary": pieces}, ".safetensors"),
    )
    state.resume()
    if state.step:
        say(f"Continuing from step {state.step} of {settings.steps}.")
    say(f"Training: {settings.steps - state.step} steps.")
    run_pretraining(state, text, compile_model)
    minutes = (time.monotonic() - started) / 60
    about = content | {"curve": state.curve, "minutes_of_last_start": round(minutes, 1), "tokens": int(text.starts[-1])}
    save_micro_encoder(out, model, tokenizer, settings, about)
    state.checkpoint.unlink(missing_ok=True)
    return out


def save_micro_encoder(
    out: Path, model: BertForMaskedLM, tokenizer: BertTokenizer, settings: PretrainingSettings, about: dict[str, Any]
) -> None:
    """Write the model folder: half-precision safetensors, tokenizer, config, pooling files, ``pretraining.json``."""
    with new_folder(out) as folder:
        model.half().save_pretrained(folder)
        model.float()
        tokenizer.save_pretrained(folder)
        files = sentence_transformers_files("cls", settings.hidden_size, settings.max_tokens, normalised=False)
        # The masked-LM model has no pooler, so that sentence-transformers must not build one and report it missing.
        files["sentence_bert_config.json"]["model_args"] = {"add_pooling_layer": False}
        for name, content in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(as_text(content), encoding="utf-8")
        (folder / "pretraining.json").write_text(as_text(about), encoding="utf-8")
