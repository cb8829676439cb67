"""t-SNE, as scikit-learn has it (the extra `ops`): who is near in many dimensions is near in two.

van der Maaten and Hinton, "Visualizing Data using t-SNE", JMLR 2008; Barnes-Hut's approximation.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE

Points = NDArray[np.float64]

_PERPLEXITY: Final = 30.0  # about how many neighbours count
_STEPS: Final = 500  # as many neighbours are kept after a thousand
_ANGLE: Final = 0.8  # how coarsely those far away are taken together; as good as the default here, and sooner done
_SPREAD: Final = 1e-4  # deviation of where points start from, along the longer axis


def nearby(vectors: Points, start: Points, seed: int = 0) -> Points:
    """Return `(n, 2)`: `vectors (n, d)`, four or more, laid out from `start (n, 2)`."""
    spread = float(start[:, 0].std())
    begun = start * (_SPREAD / spread) if spread > 0 else start
    perplexity = min(_PERPLEXITY, (len(vectors) - 1) / 3)
    reduce = TSNE(
        perplexity=perplexity, init=begun.astype(np.float32), max_iter=_STEPS, angle=_ANGLE, random_state=seed
    )
    return np.asarray(reduce.fit_transform(vectors.astype(np.float32)), np.float64)
