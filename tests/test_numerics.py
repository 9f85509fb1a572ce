"""A whole training step, and encoding, against transformers and sentence-transformers in float32.

The kit leaves out padding and unused tokens, computes the two views side by side, and may compute in bfloat16. None of
this may change what is trained by more than the rounding allowed here.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SENTENCES, make_model_folder
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer

from distillcse_kit.config import DistillationSettings, TrainingSettings
from distillcse_kit.encoder.loading import MICRO
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.fast.dropout import CheapDropout, use_cheap_dropout
from distillcse_kit.fast.threads import sharing
from distillcse_kit.method.ensemble import TeacherEnsemble
from distillcse_kit.training.objective import Draws, Trainee, batch_losses
from distillcse_kit.training.recipe import Recipe

# About three times the worst that was measured, with both encoders, both kinds of attention and six seeds of the head
# and the teachers (AVX-512 with bfloat16). Relative; gradients of all weights together, as one vector.
FLOAT32_LOSS = 1e-5  # measured: 2e-6
FLOAT32_GRADIENT = 1e-5  # measured: 3.5e-6
BFLOAT16_LOSS = 0.05  # measured: 0.017 for a part of the loss, 0.008 for the whole
BFLOAT16_COSINE = 0.996  # measured: 0.9987
UNIT_VECTORS = 1e-6  # largest difference of a coordinate; measured: 2.7e-7

WEIGHT, TEMPERATURE = 0.7, 0.05
CORPUS = [
    "a",
    "an apple",
    *SENTENCES[3:300:33],
    "The judge, who had painted the boat, forgot the letters; nobody found them.",
    "the old farmer repairs the garden gate and " * 2,
    "my neighbour buys two letters and the piano and " * 5,  # longer than a training sentence may be
    "the cook washes a red bowl " * 12,
    "her bicycle",
]

pytestmark = pytest.mark.usefixtures("two_cores")


@pytest.fixture(scope="module", params=["tiny", "micro"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    if request.param == "micro":
        return "micro"
    folder = make_model_folder(tmp_path_factory.mktemp("models") / "no_dropout", layers=3)
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(config))
    # At its start a BERT has biases of 0 and gives nearly the same vector to every sentence: let this one have learned.
    random = torch.Generator().manual_seed(0)
    weights = load_file(folder / "model.safetensors")
    learned = {name: weight + 0.15 * torch.randn(weight.shape, generator=random) for name, weight in weights.items()}
    save_file(learned, folder / "model.safetensors", {"format": "pt"})
    return str(folder)


def teachers() -> TeacherEnsemble:
    """Two teachers of different widths, as they are stored."""
    random = np.random.default_rng(0)
    return TeacherEnsemble({name: random.normal(size=(len(CORPUS), width)) for name, width in (("a", 8), ("b", 20))})


def teacher_cosines(rows: list[int]) -> Tensor:
    """Their mean cosines by hand, float64."""
    total = np.zeros((len(rows), len(rows)))
    for stored in teachers().embeddings.values():
        unit = stored[rows] / np.linalg.norm(stored[rows], axis=1, keepdims=True)
        total += unit @ unit.T / 2
    return torch.from_numpy(total)


def written_out(vectors: Tensor, targets: Tensor, wanted: DistillationSettings) -> dict[str, Tensor]:
    """Eq 1 to 3 in float64, row by row; without dropout both views are the same vectors."""
    unit = vectors.double() / vectors.double().norm(dim=1, keepdim=True)
    cosines, n = unit @ unit.T, len(unit)
    contrastive = distillation = vectors.new_zeros((), dtype=torch.float64)
    for i in range(n):
        others = [j for j in range(n) if j != i]
        row = cosines[i] / TEMPERATURE
        contrastive = contrastive - (row[i] - torch.logsumexp(row, 0)) / n
        student, teacher = cosines[i, others] / wanted.student_temperature, targets[i, others]
        q = torch.exp((teacher - teacher.max()) / wanted.teacher_temperature)
        distillation = distillation - (q / q.sum() * (student - torch.logsumexp(student, 0))).sum() / n
    return {
        "loss": contrastive + WEIGHT * distillation,
        "contrastive": contrastive,
        "distillation": distillation,
    }


def step_of_transformers(
    trainee: Trainee, rows: list[int], wanted: DistillationSettings
) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Losses and gradients of all weights: the whole padded model with eager attention, in float32."""
    folder = MICRO if trainee.encoder.name == "micro" else Path(trainee.encoder.name)
    model = AutoModel.from_pretrained(
        folder, add_pooling_layer=False, attn_implementation="eager", dtype=torch.float32
    ).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    batch = tokenizer(
        [CORPUS[row] for row in rows], padding="max_length", truncation=True, max_length=32, return_tensors="pt"
    )
    assert batch["input_ids"].shape == (len(rows), 32)
    (linear,) = (part for part in trainee.head.modules() if isinstance(part, nn.Linear))
    weight, bias = (value.detach().clone().requires_grad_() for value in (linear.weight, linear.bias))
    state = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state[:, 0]
    losses = written_out(torch.tanh(state @ weight.T + bias), teacher_cosines(rows), wanted)
    losses["loss"].backward()
    gradients = {f"encoder.model.{name}": value.grad for name, value in model.named_parameters()}
    gradients |= {"head.0.weight": weight.grad, "head.0.bias": bias.grad}
    assert all(gradient is not None for gradient in gradients.values())
    return {name: value.item() for name, value in losses.items()}, gradients  # type: ignore[return-value]


def step_of_the_kit(
    trainee: Trainee, rows: list[int], settings: TrainingSettings, wanted: DistillationSettings, lower: bool
) -> tuple[dict[str, float], dict[str, Tensor]]:
    """The same as the trainer computes them, inside ``sharing(2)``. A missing gradient counts as 0."""
    batch = trainee.encoder.pad(trainee.encoder.tokenize([CORPUS[row] for row in rows], settings.max_tokens))
    recipe = Recipe(settings, wanted)
    trainee.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=lower):
        losses = batch_losses(trainee, batch, np.array(rows), recipe, teachers(), Draws.of(0))
    losses["loss"].backward()
    gradients = {
        name: torch.zeros_like(weight) if weight.grad is None else weight.grad
        for name, weight in trainee.named_parameters()
    }
    return {name: value.item() for name, value in losses.items()}, gradients


def together(gradients: dict[str, Tensor]) -> Tensor:
    return torch.cat([gradients[name].flatten() for name in sorted(gradients)])


def trainee_that_drops_nothing(settings: TrainingSettings, p: float) -> Trainee:
    """In training mode, with cheap dropout that drops nothing.

    With p = 0 attention is torch's fused one. With p below 2^-17 every mask is drawn, and is 1 everywhere: then it is
    the written-out attention of real training.
    """
    torch.manual_seed(2)
    trainee = Trainee(settings)
    use_cheap_dropout(trainee.encoder.model)
    dropouts = [part for part in trainee.modules() if isinstance(part, nn.Dropout)]
    assert len(dropouts) == 1 + 3 * 3 and all(isinstance(part, CheapDropout) for part in dropouts)
    for part in dropouts:
        part.p = p
    return trainee.train()


@pytest.mark.parametrize("p", [0.0, 1e-9])
@pytest.mark.parametrize("lower", [False, True], ids=["float32", "bfloat16"])
def test_a_step_is_that_of_transformers(base: str, p: float, lower: bool) -> None:
    settings = TrainingSettings(base=base, temperature=TEMPERATURE)
    wanted = DistillationSettings(weight=WEIGHT)
    trainee = trainee_that_drops_nothing(settings, p)
    rows = np.random.default_rng(1).permutation(len(CORPUS)).tolist()
    assert len(rows) == 16
    with sharing(2):
        expected, expected_gradients = step_of_transformers(trainee, rows, wanted)
        found, found_gradients = step_of_the_kit(trainee, rows, settings, wanted, lower)
    assert found.keys() == expected.keys() and found_gradients.keys() == expected_gradients.keys()
    one, other = together(found_gradients), together(expected_gradients)
    error = ((one - other).norm() / other.norm()).item()
    cosine = torch.nn.functional.cosine_similarity(one.double(), other.double(), dim=0).item()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=BFLOAT16_LOSS if lower else FLOAT32_LOSS), name
    if lower:
        assert cosine > BFLOAT16_COSINE and error > 100 * FLOAT32_GRADIENT  # it was bfloat16
    else:
        assert error < FLOAT32_GRADIENT


def test_encode_is_that_of_sentence_transformers_for_all_lengths(base: str, tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    encoder = SentenceEncoder.load(base)
    theirs = library.SentenceTransformer(str(encoder.save(tmp_path / "saved")), device="cpu")
    words = " ".join(SENTENCES).split()
    lengths = np.random.default_rng(4).permutation([1, 1, 2, 3, 4, 5, 6, 8, 9, 13, 20, 31, 47, 60, 99, 126, 160, 400])
    texts = [" ".join(words[7 * length : 8 * length]) for length in lengths.tolist()]
    expected = theirs.encode(texts, normalize_embeddings=True)
    np.testing.assert_allclose(np.linalg.norm(expected, axis=1), 1, atol=1e-6)
    assert (expected @ expected.T)[~np.eye(len(texts), dtype=bool)].min() < 0.95  # they are not all alike
    for batch_size in (1, 4, 64):
        found = encoder.encode(texts, batch_size, normalize_embeddings=True)
        assert np.abs(found - expected).max() < UNIT_VECTORS
