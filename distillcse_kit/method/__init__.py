"""The paper's equations as functions: losses, shuffling, and the averaging of teachers.

Two alternatives stand beside them: the group mean, which is the kit's own, and a ranking hinge after the authors' code.
"""
