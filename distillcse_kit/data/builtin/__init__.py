"""Where do sentences come from without a download? A generator makes English sentences and graded pairs.

How it works, and in which module:

1. ``lexicon``: about 2,600 concepts of everyday topics, from plain JSON, each with wordings that mean the same.
2. ``scenes``: a scene picks concepts for its roles (who does what to whom, with what, where, when, how, why). The gold
   similarity of two scenes follows from their roles.
3. ``wording`` and ``english``: one scene can be worded in many ways.
4. ``scene_pairs``: the second scene of a pair is a changed copy of the first.
5. ``generator``: the corpus and the pairs, the same on every machine.

Two wordings of one scene are paraphrases, even if they share no content word. Two scenes that differ in one role can
be worded almost alike. So word overlap misleads, and meaning does not.
"""

from distillcse_kit.data.builtin.generator import builtin_corpus, builtin_pairs, builtin_topics

__all__ = ["builtin_corpus", "builtin_pairs", "builtin_topics"]
