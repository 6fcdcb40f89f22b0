"""Fashion-MNIST: 70,000 images of clothing in the format of MNIST, harder to classify."""

from .download import fetch
from .idx import read
from .mnist import Split

MIRRORS = (
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)
FILES = {
    "train-images-idx3-ubyte.gz": {"md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d": 26421880},
    "train-labels-idx1-ubyte.gz": {"md5:25c81989df183df01b3e8a0aad5dffbe": 29515},
    "t10k-images-idx3-ubyte.gz": {"md5:bef4ecab320f06d8554ea6380940ec79": 4422102},
    "t10k-labels-idx1-ubyte.gz": {"md5:bb300cfdad3c16e7a12a480ee83cd310": 5148},
}
CLASSES = (
    "T-shirt/top", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip


def load_data() -> tuple[Split, Split]:
    """Return (train_images, train_labels), (test_images, test_labels), as `mnist.load_data` does.

    Label i means `CLASSES[i]`. The files are downloaded once: see `download.fetch`.

    Source: H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking
    machine learning algorithms", arXiv:1708.07747, licence MIT.

    >>> (train_images, train_labels), (test_images, test_labels) = load_data()  # doctest: +SKIP
    >>> CLASSES[train_labels[0]]  # doctest: +SKIP
    'ankle boot'
    """
    train_images, train_labels, test_images, test_labels = (
        read(fetch(f"fashion_mnist/{name}", [mirror + name for mirror in MIRRORS], digests))
        for name, digests in FILES.items()
    )
    return (train_images, train_labels), (test_images, test_labels)
