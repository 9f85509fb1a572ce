"""Faster ways of the same work, each with what it gains at the head of its module.

All of them are off with ``fast=False``, an argument of ``SentenceEncoder``, of the shuffles and of
``TrainingSettings``. Together they make a training step 2.2 times as fast on two cores (`distillcse bench --tricks`).

Tried and dropped, because it does not pay: ``torch.compile`` of training. On a processor a step gets slower. On an H100
a step of BERT-base's shape takes 13 to 19% less time, but compiling takes over two minutes, more than a run of the
paper's 15,625 steps wins back.
"""
