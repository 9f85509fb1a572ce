# %% [markdown]
# # Appendix A: how the micro encoder was made
#
# **Goal.** Build a small BERT from a plain text file, and know what the encoder that ships with the kit has learned.
#
# **You will learn**
#
# - the four steps: word pieces, vectors from counting, masked language modelling, and the whole pipeline,
# - the equations of PPMI and its SVD, and why they are a good start,
# - the facts about the shipped encoder: settings and loss curve,
# - how to look inside: neighbours of words, and blanks filled in.
#
# **Time:** under a minute on every profile. It took far longer to make the shipped encoder; the facts about it are
# below.

# %% tags=["parameters"]
profile: str = "smoke"  # amount of work: smoke (minutes), laptop (whole course: 40 minutes) or paper (needs a GPU)
seed: int = 0  # seed of this notebook's own random draws
data_dir: str = ""  # folder of STS sets; if empty, the built-in pairs
corpus: str = ""  # training sentences: a file or a hub name; if empty, from data_dir, or else built in
base: str = ""  # encoder to start from; if empty, the profile's own
store: str = ""  # folder for everything computed; if empty, DISTILLCSE_STORE or ~/.cache/distillcse_kit
figures: str = ""  # folder for the PNG figures; if empty, they are only shown
sentence: str = "the children _ in the garden after school."  # _ marks the blank to fill in; type your own

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
encoder, masked_lm = SentenceEncoder.load(start, device="cpu"), load_masked_lm(start).eval()
print(
    f"{start}: {masked_lm.num_parameters():,} parameters with the masked-LM head, {encoder.model.num_parameters():,} without"
)

# %% [markdown]
# ## Why does the kit have its own encoder?
#
# This laboratory must run without a network and without a GPU. BERT-base has 110 million parameters and must be
# downloaded. So the kit ships a BERT that is dozens of times smaller. The command `distillcse pretrain` made it from
# sentences of the English Wikipedia. It is a real transformer, and its knowledge of English is real, if small. It is
# not BERT-base: do not set its scores beside those of BERT-base.
#
# ## What ships: the facts
#
# The table lists how the encoder was made. The figure below it shows the loss of its pretraining:

# %%
card_file = folder / "pretraining.json"
card = json.loads(card_file.read_text(encoding="utf-8")) if card_file.is_file() else None
if card is None:
    print(f"{start} has no pretraining.json, so distillcse pretrain did not make it.")
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
        f"Loss {first:.2f} at step {curve['step'].iloc[0]}, {last:.2f} at the end: like a guess among {np.exp(last):.0f} equally likely pieces."
    )

# %% [markdown]
# The dashed line is the loss of a blind guess. The distance below it is what the encoder has learned.
#
# This is the exact command that made the encoder. Put your own text file, one sentence a line, in place of `FILE`:

# %%
from distillcse_kit.training.pretraining_settings import PretrainingSettings

defaults = asdict(PretrainingSettings())
made_with = card["settings"] if card else defaults
changed = {name: value for name, value in made_with.items() if name in defaults and value != defaults[name]}
print("distillcse pretrain FILE --out DIR", *(f"--{name.replace('_', '-')} {value}" for name, value in changed.items()))

# %% [markdown]
# Every option that is not named keeps its default in `PretrainingSettings`. To use a new encoder, pass its folder as
# `--base DIR`, or as the parameter `base` of any notebook.
#
# ## Step 1: word pieces
#
# A vocabulary of whole words would have no end. So word pieces are learned from the text. Frequent words stay whole,
# and rare words are put together from parts (`##` marks a continuation). The function is `learn_vocabulary` in
# `distillcse_kit.training.word_pieces`.
#
# **Predict first:** which of these words will be a single piece?

# %%
words = ("garden", "gardeners", "photosynthesis", "yesterday", "unbelievably", "Wikipedia", "skateboard")
pieces = {word: encoder.tokenizer.tokenize(word) for word in words}
pd.DataFrame([{"word": word, "pieces": " ".join(found), "number": len(found)} for word, found in pieces.items()])

# %% [markdown]
# As a rule, the more often a word occurs in the text, the fewer pieces it needs. In an encyclopaedia, even *yesterday*
# is rare.
#
# ## Step 2: vectors from counting
#
# Words that occur in the same company mean similar things. Count how often word $c$ stands near word $w$, in a window
# of 5 words, with each count weighted by 1/distance. Then ask how much more often this happens than by chance:
#
# $$\mathrm{PPMI}_{wc} = \max\left(0,\ \ln \frac{P(w, c)}{P(w)\, P_{0.75}(c)}\right), \qquad P_{0.75}(c) \propto n(c)^{0.75}$$
#
# The power 0.75 keeps rare contexts from looking too important. The matrix has one column for each word piece. A
# truncated SVD gives its best approximation of rank $d$, and with it a vector of $d$ numbers for each word piece:
#
# $$\mathrm{PPMI} \approx U_d S_d V_d^\top, \qquad E = U_d \sqrt{S_d}$$
#
# These vectors are the starting values of the token embeddings (`ppmi_svd_embeddings`, in the same module). So the
# transformer does not start from noise. It starts from what the company of a word says about its meaning, and that
# saves a small model much of its training.
#
# ## Step 3: masked language modelling
#
# Hide 15% of the tokens, and predict them from the rest. Let $H$ be the set of hidden places and $x_{\setminus H}$ the
# sentence without them:
#
# $$\ell_{mlm} = -\frac{1}{|H|} \sum_{k \in H} \log P(x_k \mid x_{\setminus H})$$
#
# Of the hidden tokens, 80% become `[MASK]`, 10% become a random token, and 10% stay as they are. So the encoder can
# never simply trust a token. Here are two sentences, each before and after masking (`mask_tokens` in
# `distillcse_kit.training.masked_lm`):

# %%
from distillcse_kit.training.masked_lm import mask_tokens

tokenizer = encoder.tokenizer
batch = encoder.pad(encoder.tokenize(lab.corpus.sentences[:2]))["input_ids"]
generator = torch.Generator().manual_seed(seed)
masked, places, labels = mask_tokens(batch, 0.15, tokenizer.mask_token_id, len(tokenizer), generator)
for before, after in zip(batch, masked, strict=True):
    print(tokenizer.decode(before[before != tokenizer.pad_token_id]))
    print(tokenizer.decode(after[after != tokenizer.pad_token_id]), "\n")
print("to predict:", tokenizer.convert_ids_to_tokens(labels[labels >= 0].tolist()))

# %% [markdown]
# ## Step 4: the whole pipeline, in miniature
#
# The next cell runs all steps on two thousand generated sentences, with a tiny model. That is enough to see how the
# steps fit together. It is not enough to learn English. Everything goes to a temporary folder, and the cell prints the
# files that it finds there:

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
    f"Mean loss of the last steps: {loss:.2f}. A blind guess among {len(tiny_encoder.tokenizer)} pieces costs {blind:.2f}."
)
print(f"Dev score, [CLS]: tiny {tiny_score:.2f}, {start} {lab.score(lab.base, 'dev'):.2f}.")

# %% [markdown]
# The first line compares the loss with a blind guess. The closer the two are, the less the model has learned about
# filling in blanks. Sixty steps are very few.
#
# ## Looking inside
#
# **Neighbours of words.** Each row of the embedding matrix is the vector of a word piece. It was first counted (step 2)
# and then trained (step 3). The table lists which pieces are close to each other:

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
# The neighbours of a word are words that could stand in its place. They include opposites and rivals. So words that
# keep the same company need not mean the same. That is one reason why an encoder that only fills in blanks needs
# contrastive training before it can compare sentences.
#
# **Filling in blanks.** This is the one thing that the encoder was trained to do. The table lists the most probable
# pieces for each blank.
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
# Grammar usually comes before knowledge. First check whether the guesses are the right *kind* of word. Only then ask
# whether they are true.
#
# ## Summary
#
# - Word pieces, counting, masked language modelling: three simple steps turn plain text into an encoder.
# - PPMI and SVD give the transformer a start that already holds the company that words keep.
# - The settings and the loss curve of the shipped encoder are above, and so is the command that made it.
# - Filling in blanks is not the same as comparing sentences. Notebook 01 adds that.
