# %% [markdown]
# # Appendix A: how the micro encoder was made
#
# **Goal.** Build a small BERT from a plain text file, and know what the one that ships with the kit has learned.
#
# **You will learn**
#
# - four steps: word pieces, co-occurrence vectors, masked language modelling, a model folder,
# - the equations of PPMI and its SVD, and why they are a good start,
# - the facts of the shipped encoder: settings and loss curve,
# - to look inside: neighbours of words, and blanks filled in.
#
# **Time:** under a minute on every profile. Making the shipped encoder took far longer; its figures are below.

# %% tags=["parameters"]
profile: str = "smoke"  # smoke (minutes), laptop (40 minutes for the whole course) or paper (a GPU)
seed: int = 0  # of what the notebook draws at random
data_dir: str = ""  # folder with STS sets; empty: the built-in pairs
corpus: str = ""  # training sentences, a file or a hub name; empty: found in data_dir, or built in
base: str = ""  # encoder to start from; empty: the profile's
store: str = ""  # folder of everything computed; empty: DISTILLCSE_STORE or ~/.cache/distillcse_kit
figures: str = ""  # folder for the PNG figures; empty: only shown
sentence: str = "the children _ in the garden after school."  # _ is the blank to be filled in; type your own

# %%
import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from distillcse_kit.encoder.loading import MICRO, load_masked_lm
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.laboratory import Laboratory
from distillcse_kit.plots.style import new_axes, show

lab = Laboratory(profile, data_dir or None, corpus or None, base or None, store or None)
settings, start = lab.describe(), lab.profile.training.base
folder = MICRO if start == "micro" else Path(start)
encoder, masked_lm = SentenceEncoder.load(start), load_masked_lm(start).eval()
print(
    f"{start}: {masked_lm.num_parameters():,} parameters with the masked-LM head, {encoder.model.num_parameters():,} without"
)

# %% [markdown]
# ## Why an encoder of our own?
#
# A laboratory must run where there is no network and no GPU. BERT-base has 110 million parameters and comes from a hub.
# So the kit ships a BERT that is dozens of times smaller, made by `distillcse pretrain` from sentences of the English
# Wikipedia. It is a real transformer with a real, if small, knowledge of English. It is not BERT-base, and no score of
# it should be set beside BERT-base's.
#
# ## What ships: the facts

# %%
card_file = folder / "pretraining.json"
card = json.loads(card_file.read_text(encoding="utf-8")) if card_file.is_file() else None
if card is None:
    print(f"{start} has no pretraining.json: it was not made by distillcse pretrain.")
    facts = None
else:
    weights = sum(file.stat().st_size for file in folder.glob("*.safetensors")) / 1e6
    facts = card["settings"] | {"tokens of text": f"{card['tokens']:,}", "MB of weights": f"{weights:.1f}"}
    facts = pd.Series(facts, name="value").to_frame()
facts

# %%
if card is not None:
    curve = pd.DataFrame(card["curve"])
    figure, ax = new_axes(width=7, height=3.6)
    ax.plot(curve["step"], curve["loss"])
    guess = np.log(len(encoder.tokenizer))
    ax.axhline(guess, color="grey", linestyle="--", linewidth=1.2, label=f"blind guess, ln V = {guess:.2f}")
    ax.set(xlabel="step", ylabel="masked-LM loss (nats)", title="Pretraining of the shipped encoder")
    ax.legend()
    show(figure, "appendix_loss_curve", figures, settings)
    first, last = curve["loss"].iloc[0], curve["loss"].iloc[-1]
    print(
        f"Loss {first:.2f} at step {curve['step'].iloc[0]}, {last:.2f} at the end: as uncertain as among {np.exp(last):.0f} equal words."
    )

# %% [markdown]
# The exact command, with your own text file (one sentence a line) in place of `FILE`:

# %%
from distillcse_kit.training.masked_lm import PretrainingSettings

defaults = asdict(PretrainingSettings())
made_with = card["settings"] if card else defaults
changed = {name: value for name, value in made_with.items() if name in defaults and value != defaults[name]}
print("distillcse pretrain FILE --out DIR", *(f"--{name.replace('_', '-')} {value}" for name, value in changed.items()))

# %% [markdown]
# What is not named has the default of `PretrainingSettings`. Afterwards `--base DIR`, or the parameter `base` of every
# notebook, takes the new encoder.
#
# ## Step 1: word pieces
#
# A vocabulary of whole words would be endless. Word pieces are learned from the text: frequent words stay whole, rare
# ones are put together from parts (`##` marks a continuation). `pretraining.learn_vocabulary` does it.
#
# **Predict first:** which of these words will be one piece?

# %%
words = ("garden", "gardeners", "photosynthesis", "yesterday", "unbelievably", "Wikipedia", "skateboard")
pieces = {word: encoder.tokenizer.tokenize(word) for word in words}
pd.DataFrame([{"word": word, "pieces": " ".join(found), "number": len(found)} for word, found in pieces.items()])

# %% [markdown]
# ## Step 2: vectors from counting
#
# Words that occur in the same company mean similar things. Count how often word $c$ stands near word $w$ (window of 5,
# each count weighted by 1/distance), and ask how much more often than by chance:
#
# $$\mathrm{PPMI}_{wc} = \max\left(0,\ \ln \frac{P(w, c)}{P(w)\, P_{0.75}(c)}\right), \qquad P_{0.75}(c) \propto n(c)^{0.75}$$
#
# The power 0.75 keeps rare contexts from looking too remarkable. The matrix has as many columns as there are word
# pieces; its best approximation of rank $d$ is a truncated SVD, and gives a vector of $d$ numbers for each:
#
# $$\mathrm{PPMI} \approx U_d S_d V_d^\top, \qquad E = U_d \sqrt{S_d}$$
#
# These vectors start the token embeddings (`pretraining.ppmi_svd_embeddings`). The transformer does not begin with
# noise, but with the distributional meaning of its words, which saves a small model much of its training.
#
# ## Step 3: masked language modelling
#
# Hide a share of 15% of the tokens, and predict them from the rest. With $M$ the hidden places:
#
# $$\ell_{mlm} = -\frac{1}{|M|} \sum_{k \in M} \log P(x_k \mid x_{\setminus M})$$
#
# Of the hidden ones 80% become `[MASK]`, 10% a random token, 10% stay, so that the encoder can trust no token blindly.
# In code, on two sentences (`pretraining.mask_tokens`):

# %%
from distillcse_kit.training.masked_lm import mask_tokens

tokenizer = encoder.tokenizer
batch = encoder.pad(encoder.tokenize(lab.corpus.sentences[:2]))["input_ids"]
generator = torch.Generator().manual_seed(seed)
masked, places, labels = mask_tokens(batch, 0.15, tokenizer.mask_token_id, len(tokenizer), generator)
for before, after in zip(batch, masked, strict=True):
    print(tokenizer.decode(before[before != tokenizer.pad_token_id]))
    print(tokenizer.decode(after[after != tokenizer.pad_token_id]), "\n")
print("to be predicted:", tokenizer.convert_ids_to_tokens(labels[labels >= 0].tolist()))

# %% [markdown]
# ## Step 4: the whole pipeline, in miniature
#
# Two thousand generated sentences and a tiny model are enough to see that the steps fit together; they are not enough
# to learn English. It all lands in a temporary folder.

# %%
from distillcse_kit.data.builtin.generator import builtin_corpus
from distillcse_kit.store import Store
from distillcse_kit.training.pretraining import pretrain

tiny = PretrainingSettings(
    vocabulary_size=1_500, hidden_size=64, layers=2, heads=2, max_tokens=48, steps=60, tokens_per_batch=2_048, seed=seed
)
with tempfile.TemporaryDirectory() as place:
    made = pretrain(
        builtin_corpus(2_000, seed),
        f"builtin 2000 {seed}",
        Path(place) / "tiny",
        tiny,
        Store(place),
        compile_model=False,
    )
    tiny_card = json.loads((made / "pretraining.json").read_text(encoding="utf-8"))
    tiny_encoder = SentenceEncoder.load(made)
    tiny_score = lab.score(tiny_encoder, "dev")
    print(*sorted(file.name for file in made.iterdir()))

# %%
loss, blind = tiny_card["curve"][-1]["loss"], np.log(len(tiny_encoder.tokenizer))
print(
    f"Mean loss of its last steps {loss:.2f}; a blind guess among {len(tiny_encoder.tokenizer)} pieces costs {blind:.2f}."
)
print(f"Dev score, [CLS]: tiny {tiny_score:.2f}, {start} {lab.score(lab.base, 'dev'):.2f}.")

# %% [markdown]
# ## Looking inside
#
# **Neighbours of words.** The rows of the embedding matrix are vectors of word pieces, first counted (step 2), then
# trained (step 3). Which are close?

# %%
matrix = masked_lm.get_input_embeddings().weight.detach().float()
matrix = torch.nn.functional.normalize(matrix, dim=1)
vocabulary = np.array(tokenizer.convert_ids_to_tokens(range(len(tokenizer))))


def neighbours(word: str, count: int = 7) -> str:
    """The pieces whose embeddings have the highest cosine with the word's."""
    row = tokenizer.convert_tokens_to_ids(word)
    closest = (matrix @ matrix[row]).topk(count + 1).indices.tolist()
    return ", ".join(vocabulary[[other for other in closest if other != row]][:count])


whole = [
    word for word in ("king", "london", "three", "river", "wrote", "red", "music", "because") if word in vocabulary
]
pd.DataFrame([{"word": word, "closest pieces": neighbours(word)} for word in whole])

# %% [markdown]
# A word's neighbours are those that could stand in its place, which includes opposites and rivals: near in company is
# not yet near in meaning. That is one reason why an encoder that only fills in blanks needs contrast to compare
# sentences.
#
# **Filling in blanks.** This is the one thing that the encoder was trained to do.
#
# **Predict first:** write down three words for each blank before you look.


# %%
@torch.no_grad()
def fill(text: str, count: int = 6) -> str:
    """The most probable pieces for the blank ``_`` in a sentence, with their probabilities."""
    ids = tokenizer(text.replace("_", tokenizer.mask_token), return_tensors="pt")
    place = (ids["input_ids"][0] == tokenizer.mask_token_id).nonzero()[0, 0]
    logits = masked_lm(input_ids=ids["input_ids"], attention_mask=ids["attention_mask"]).logits[0, place]
    best = logits.float().softmax(dim=0).topk(count)
    return ", ".join(
        f"{vocabulary[row]} {100 * share:.0f}%" for share, row in zip(*map(torch.Tensor.tolist, best), strict=True)
    )


blanks = (
    sentence,
    "paris is the capital of _.",
    "she plays the _ in a rock band.",
    "he was _ in 1950 and died in 1999.",
    "the river flows _ the sea.",
)
pd.DataFrame([{"sentence": text, "most probable": fill(text)} for text in blanks])

# %% [markdown]
# Grammar usually comes before knowledge: look whether the guesses have the right *kind* of word before you ask whether
# they are true.
#
# ## Summary
#
# - Word pieces, counting, masked language modelling: three simple steps make an encoder from plain text.
# - PPMI and SVD give the transformer a start that already holds the company words keep.
# - The shipped encoder's settings and loss curve are above, and the command that made it.
# - Filling in blanks is not comparing sentences; that is what notebook 01 adds.
