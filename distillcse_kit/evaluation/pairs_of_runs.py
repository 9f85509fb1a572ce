"""How sure is a mean over pairs of runs? Each run is in many pairs, so the pairs are not independent."""

from __future__ import annotations

import numpy as np

from distillcse_kit.errors import KitError


def values_by_run(pairs: np.ndarray) -> list[float]:
    """One value for each run, whose t interval is right for the mean over all pairs of different runs: the jackknife.

        m = mean of x_st over s != t      v_s = n m - (n - 1) m_(-s),   m_(-s): the mean over the pairs without run s

    The mean of v is m. The plain means of each run's own pairs vary too little, since two runs share most of what they
    are compared with: their interval is too narrow, where x is symmetric less than half as wide as it should be.

    Args:
        pairs: x, [n, n]; the diagonal is not read.

    Returns:
        n values (pseudo-values); for two runs, which have but one pair or two that share both, only their mean.

    Raises:
        KitError: the matrix is not square, or there are fewer than two runs.

    Reference: Tukey (1958); for means over pairs, Arvesen, Ann. Math. Statist. 40 (1969).

    >>> import numpy as np
    >>> agreement = np.array([[0, 1, 2], [1, 0, 3], [2, 3, 0.0]])
    >>> values_by_run(agreement), values_by_run(agreement[:2, :2])
    ([0.0, 2.0, 4.0], [1.0])
    """
    n = len(pairs)
    if pairs.ndim != 2 or pairs.shape[1] != n or n < 2:
        raise KitError(f"The pairs have the shape {list(pairs.shape)}; give a square matrix of at least two runs.")
    between = np.where(np.eye(n, dtype=bool), 0.0, pairs)
    total = between.sum()
    mean = total / (n * (n - 1))
    if n == 2:
        return [float(mean)]
    without = (total - between.sum(axis=0) - between.sum(axis=1)) / ((n - 1) * (n - 2))
    return (n * mean - (n - 1) * without).tolist()
