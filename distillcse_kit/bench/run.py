"""What ``distillcse bench`` measures: the kit beside the plain way of the same work, as ratios within one run."""

from __future__ import annotations

import platform
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from distillcse_kit.bench.baselines import PlainTraining, group_p_loop
from distillcse_kit.bench.measure import Spread, compare, ratio, seconds
from distillcse_kit.config import DistillationSettings, TrainingSettings
from distillcse_kit.data.corpus import corpus_fingerprint, load_corpus
from distillcse_kit.data.sts import load_sts
from distillcse_kit.data.tokens import pad_rows
from distillcse_kit.encoder import MICRO, SentenceEncoder, use_bfloat16
from distillcse_kit.evaluation.sts import first_pairs
from distillcse_kit.losses import cosine_matrix, distillation_loss
from distillcse_kit.shuffling import group_p_shuffle
from distillcse_kit.store import Store
from distillcse_kit.teachers import TeacherEnsemble, embed_corpus
from distillcse_kit.training import Corpus, Distillation, Trainer, shuffled, tokenized, versions

BATCH_SIZES = (64, 256, 512)
TEACHERS = (1, 4, 16)
SETTINGS_OF_AN_ABLATION = 8
PLAIN_LENGTH = 32


@dataclass(frozen=True)
class Extent:
    """How long to measure: repeats of quick and of slow comparisons, and sentences to encode."""

    quick_repeats: int
    slow_repeats: int
    sentences: int


QUICK, FULL = Extent(7, 3, 1_500), Extent(25, 9, 4_000)


class Workshop:
    """Corpus, teachers' embeddings and trainers that the measurements share, in a temporary store."""

    def __init__(self, folder: Path, extent: Extent, corpus: str | Path = "builtin") -> None:
        dataset = load_corpus(corpus, limit=extent.sentences)
        self.corpus = Corpus(list(dataset["sentence"]), corpus_fingerprint(dataset))
        self.folder, self.extent, self.store = folder, extent, Store(folder / "store")
        self.training, self.distillation = TrainingSettings(), DistillationSettings(shuffle="group_p")
        self.encoder = SentenceEncoder.load("micro")
        self.text = tokenized(self.store, self.encoder, self.corpus)
        self.dev = first_pairs(load_sts("builtin", None, "dev"), 20)
        draw = np.random.default_rng(0)
        size = self.training.batch_size
        self.batches = [draw.choice(len(self.corpus), size, replace=False) for _ in range(8)]

    @cached_property
    def embeddings(self) -> list[np.ndarray]:
        """One memory-mapped file a teacher. The speed does not depend on what is in them."""
        first = embed_corpus(
            self.store, self.encoder, self.text, self.corpus.fingerprint, None, self.training.max_tokens
        )
        files = []
        for number in range(max(TEACHERS)):
            path = self.folder / f"teacher_{number}.npy"
            np.save(path, first)
            files.append(np.load(path, mmap_mode="r"))
        return files

    def trainer(self, teachers: int = 0) -> Trainer:
        """The kit's own loop, as ``train`` uses it: SimCSE, or a student of stored teachers."""
        lesson = None
        if teachers:
            named = {str(number): self.embeddings[number] for number in range(teachers)}
            lesson = Distillation(self.distillation, TeacherEnsemble(named))
        return Trainer(self.store, self.training, self.corpus, self.dev, lesson, self.folder / "none.checkpoint")

    def steps(self, trainer: Trainer) -> Callable[[], None]:
        """One step of the kit's loop a call, on one batch after the other."""
        numbers = iter(range(10**9))

        def step() -> None:
            trainer._step(1, self.batches[next(numbers) % len(self.batches)])

        return step

    def plain_steps(self, teachers: int = 0) -> Callable[[], None]:
        """One step of the plain loop a call, on the same batches."""
        plain = PlainTraining(self.training, self.distillation, teachers)
        batches = []
        for rows in self.batches:
            ids = self.text.rows(rows, PLAIN_LENGTH)
            lengths = torch.tensor([len(row) for row in ids])
            mask = (torch.arange(PLAIN_LENGTH) < lengths[:, None]).long()
            batches.append((pad_rows(ids, self.encoder.tokenizer.pad_token_id, PLAIN_LENGTH), mask))
        numbers = iter(range(10**9))

        def step() -> None:
            plain.step(*batches[next(numbers) % len(batches)])

        return step


# ---------------------------------------------------------------- measurements


def measure_group_p(extent: Extent, p: float = 0.1) -> dict[str, Spread]:
    """Group-P a call against a loop over rows and groups."""
    found = {}
    for n in BATCH_SIZES:
        vectors = torch.nn.functional.normalize(torch.randn(n, 192, generator=torch.Generator().manual_seed(n)), dim=-1)
        cosines = 0.5 + 0.5 * vectors @ vectors.T
        loop, ours = partial(group_p_loop, cosines, p), partial(group_p_shuffle, cosines, p)
        found[str(n)] = ratio(loop, ours, extent.quick_repeats)
    return found


def measure_loss_share(shop: Workshop) -> Spread:
    """Stored teacher's cosines, shuffling and distillation loss with its gradient, as a share of a student's step."""
    trainer = shop.trainer(1)
    vectors = torch.randn(shop.training.batch_size, shop.encoder.width, requires_grad=True)
    lesson = trainer.distillation
    assert lesson is not None

    def loss_alone() -> None:
        targets = shuffled(lesson.teachers.cosines(shop.batches[0]), lesson.settings, trainer.generator)
        distillation_loss(cosine_matrix(vectors, vectors), targets).backward()

    return ratio(loss_alone, shop.steps(trainer), shop.extent.slow_repeats)


def measure_steps(shop: Workshop) -> dict[str, dict[str, Spread]]:
    """A student's step by the number of its teachers, against a SimCSE step and against running the teachers."""
    simcse = shop.steps(shop.trainer())
    stored = {str(m): shop.steps(shop.trainer(m)) for m in TEACHERS}
    repeats = shop.extent.slow_repeats
    return {
        "step_vs_simcse": {m: ratio(step, simcse, repeats) for m, step in stored.items()},
        "every_step_vs_stored": {
            m: ratio(shop.plain_steps(int(m)), step, max(3, repeats // 3)) for m, step in stored.items()
        },
    }


def measure_jobs(shop: Workshop) -> dict[str, Spread]:
    """Whole jobs of one epoch with 16 teachers, from rates that are measured in turns.

    A job of S steps of N sentences costs S (stored step) + 16 S N (one embedding), and S (step that runs the teachers)
    in the plain way; S cancels. An ablation of 8 settings pays for the embeddings once.
    """
    most, size = max(TEACHERS), shop.training.batch_size
    rows = np.concatenate(shop.batches)
    ids = shop.text.rows(rows)

    def embed() -> None:
        shop.encoder.encode_tokens(ids, 128, True, False, "auto")

    plain, stored, embedding = compare(
        shop.plain_steps(most), shop.steps(shop.trainer(most)), embed, repeats=shop.extent.slow_repeats
    )
    once = [most * size * time / len(ids) for time in embedding]
    settings = SETTINGS_OF_AN_ABLATION
    return {
        "first_student_vs_every_step": Spread.of(
            [slow / (step + all_of_them) for slow, step, all_of_them in zip(plain, stored, once, strict=True)]
        ),
        "ablation8_vs_every_step": Spread.of(
            [
                settings * slow / (settings * step + all_of_them)
                for slow, step, all_of_them in zip(plain, stored, once, strict=True)
            ]
        ),
    }


def measure_training(shop: Workshop) -> dict[str, Any]:
    """Sentences a second of SimCSE training against the plain float32 loop, and tokens a second against the peak."""
    plain, ours = compare(shop.plain_steps(), shop.steps(shop.trainer()), repeats=max(shop.extent.slow_repeats, 5))
    step = float(np.median(ours))
    lengths = np.minimum(shop.text.lengths[np.concatenate(shop.batches)], shop.training.max_tokens)
    tokens = 2 * float(lengths.mean()) * shop.training.batch_size
    # Forward and backward: 6 operations a weight and token, embeddings not counted; the [CLS] short cut saves some.
    weights = sum(p.numel() for name, p in shop.encoder.model.named_parameters() if "embeddings" not in name)
    return {
        "train_vs_plain_loop": Spread.of([a / b for a, b in zip(plain, ours, strict=True)]),
        "tokens_per_second": round(tokens / step),
        "share_of_matrix_peak": round(6 * weights * tokens / step / matrix_peak(), 3),
    }


def matrix_peak(n: int = 2_048) -> float:
    """Operations a second of a large matrix product in the precision that training takes here."""
    dtype = torch.bfloat16 if use_bfloat16("auto", torch.device("cpu")) else torch.float32
    a, b = torch.randn(n, n).to(dtype), torch.randn(n, n).to(dtype)
    a @ b
    return 2 * n**3 / min(seconds(lambda: a @ b) for _ in range(5))


def mixed_text(count: int) -> list[str]:
    """Sentences, pairs of them and paragraphs of six: what people embed has many lengths."""
    pairs = load_sts("kit")
    single = list(pairs.first) + list(pairs.second) + list(load_corpus("builtin", limit=count)["sentence"])
    draw = np.random.default_rng(0)
    lengths = draw.choice([1, 1, 1, 2, 2, 6], count)
    return [" ".join(draw.choice(single, length)) for length in lengths]


def measure_encoding(extent: Extent) -> dict[str, Any]:
    """``encode`` against ``sentence_transformers.encode`` with the same weights, and how well the embeddings agree."""
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        return {}
    theirs, ours = SentenceTransformer(str(MICRO), device="cpu"), SentenceEncoder.load("micro")
    theirs.float()
    text = mixed_text(extent.sentences // 2)
    ways: dict[str, Callable[[], np.ndarray]] = {
        "default": lambda: ours.encode(text, show_progress_bar=False),
        "float32": lambda: ours.encode(text, show_progress_bar=False, precision="float32"),
        "auto": lambda: ours.encode(text, show_progress_bar=False, precision="auto"),
    }

    def baseline() -> np.ndarray:
        return theirs.encode(text, show_progress_bar=False)

    expected = baseline()
    agreement = {}
    for name, way in ways.items():
        found = way()
        cosines = (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
        agreement[name] = round(float(cosines.min()), 6)
    return {
        "encode_vs_sentence_transformers": {
            name: ratio(baseline, way, extent.slow_repeats) for name, way in ways.items()
        },
        "lowest_cosine_with_sentence_transformers": agreement,
    }


def measure_store(shop: Workshop) -> dict[str, Any]:
    """The embedding store: bytes a sentence and teacher, and reading a random batch of 16 teachers."""
    stored = TeacherEnsemble({str(number): array for number, array in enumerate(shop.embeddings)})
    read = [1_000 * seconds(lambda: stored.vectors(shop.batches[0]), 5) for _ in range(shop.extent.quick_repeats)]
    return {
        "store_bytes_per_sentence": shop.embeddings[0].nbytes / len(shop.corpus),
        "store_milliseconds_per_batch_of_16_teachers": Spread.of(read),
    }


MEMORY_TASKS = ("simcse step", "student step, 16 stored teachers", "student step, 16 teachers run", "encode")


def measure_memory(corpus: str) -> dict[str, float]:
    """Peak resident memory in MB of a process that does one of ``MEMORY_TASKS`` and nothing else."""
    code = "import sys; from distillcse_kit.bench.run import peak_of; print(peak_of(sys.argv[1], sys.argv[2]))"
    found = {}
    for task in MEMORY_TASKS:
        done = subprocess.run([sys.executable, "-c", code, task, corpus], capture_output=True, text=True, check=True)
        found[task] = float(done.stdout.split()[-1])
    return found


def peak_of(task: str, corpus: str) -> float:
    """Do the task in this process; its peak resident memory in MB."""
    with tempfile.TemporaryDirectory() as folder:
        shop = Workshop(Path(folder), QUICK, corpus)
        work = {
            "simcse step": lambda: shop.steps(shop.trainer())(),
            "student step, 16 stored teachers": lambda: shop.steps(shop.trainer(16))(),
            "student step, 16 teachers run": lambda: shop.plain_steps(16)(),
            "encode": lambda: shop.encoder.encode(shop.corpus.sentences, show_progress_bar=False),
        }[task]
        work()
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage would count what the parent held when it forked
        return round(int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) / 1e3, 1)  # type: ignore[index]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3), 1)


# ---------------------------------------------------------------- the whole of it


def run_bench(quick: bool, corpus: str = "builtin", say: Callable[[str], None] = print) -> dict[str, Any]:
    """Measure everything, saying each result as it comes.

    Returns:
        Medians by name (numbers, or dictionaries of them), with "spread": the same names with median, quartiles and
        repeats, and "machine", "versions", "quick" and "corpus".
    """
    extent = QUICK if quick else FULL
    medians: dict[str, Any] = {}
    spreads: dict[str, Any] = {}

    def keep(found: dict[str, Any]) -> None:
        for name, value in found.items():
            medians[name] = _medians(value)
            if (spread := _spreads(value)) is not None:
                spreads[name] = spread
            say(f"{name:<46}{_shown(value)}")

    with tempfile.TemporaryDirectory(prefix="distillcse-bench-") as folder:
        keep({"group_p_vs_loop": measure_group_p(extent)})
        shop = Workshop(Path(folder), extent, corpus)
        keep({"shuffled_loss_share_of_step": measure_loss_share(shop)})
        keep(measure_steps(shop))
        keep(measure_jobs(shop))
        keep(measure_training(shop))
        keep(measure_encoding(extent))
        keep(measure_store(shop))
        keep({"peak_memory_megabytes": measure_memory(corpus)})
    about = {"processor": platform.processor() or platform.machine(), "threads": torch.get_num_threads()}
    return medians | {
        "spread": spreads,
        "machine": about,
        "versions": versions(),
        "quick": quick,
        "corpus": {"source": corpus, "mean_tokens": round(float(shop.text.lengths.mean()), 1)},
    }


def _medians(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _medians(item) for name, item in value.items()}
    return round(value.median, 4) if isinstance(value, Spread) else value


def _spreads(value: Any) -> Any:
    if isinstance(value, dict):
        found = {name: spread for name, item in value.items() if (spread := _spreads(item)) is not None}
        return found or None
    return {key: round(item, 4) for key, item in asdict(value).items()} if isinstance(value, Spread) else None


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "   ".join(f"{name}: {_shown(item)}" for name, item in value.items())
    return str(value)
