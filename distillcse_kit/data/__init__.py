"""What does the kit read? Training sentences, and pairs of sentences with a score.

Both come from the built-in generator, from the user's own files, or from the Hugging Face hub. The room also turns
sentences into token ids.
"""
