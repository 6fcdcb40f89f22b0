"""Airfoil self-noise: a regression with 1,503 rows, measured in a wind tunnel."""

import numpy as np

from .download import fetch

MIRRORS = (
    "https://archive.ics.uci.edu/ml/machine-learning-databases/00291/airfoil_self_noise.dat",
    "http://d2l-data.s3-accelerate.amazonaws.com/airfoil_self_noise.dat",
)
DIGESTS = {  # the same table with either line ending
    "sha256:10ee06e6cfb27dae6b44213d421d217012fb1f9b697592e73a4e4016b52d425f": 58481,  # LF
    "sha256:74c75fd71783f1e6b71f8a622b993dc592897a97cd689c5090a07147a1b097b3": 59984,  # CR LF
}


def load_data() -> tuple[np.ndarray, np.ndarray]:
    """Return the (1503, 5) features and the (1503,) sound pressure level in dB, both float64.

    The features are frequency (Hz), angle of attack (degrees), chord (m), free-stream velocity
    (m/s) and thickness of the suction side (m), as measured. Their scales differ: standardize
    them before training. The file is downloaded once: see `download.fetch`, also for its errors.

    Source: T. Brooks, D. Pope, M. Marcolini, "Airfoil self-noise and prediction", NASA, 1989; UCI
    Machine Learning Repository, DOI 10.24432/C5VW2C, licence CC BY 4.0.

    >>> x, y = load_data()  # doctest: +SKIP
    >>> x[0].tolist(), y[0]  # doctest: +SKIP
    ([800.0, 0.0, 0.3048, 71.3, 0.00266337], 126.201)
    """
    table = np.loadtxt(fetch("airfoil_self_noise.dat", MIRRORS, DIGESTS))
    return table[:, :-1].copy(), table[:, -1].copy()
