"""Search hyperparameters with scikit-learn's GridSearchCV on a cluster of Dask workers.

The solver of minigrad.sklearn's MLPClassifier can be any registered optimizer. joblib's Dask
backend sends each training to a worker. By default, the workers are processes on this machine. With
--scheduler, they can be anywhere.

    pip install "minigrad[sklearn,distributed]"
    python examples/grid_search.py --workers 2
    python examples/grid_search.py --scheduler tcp://10.0.0.1:8786
"""

import argparse
import warnings
from contextlib import nullcontext
from importlib.util import find_spec

from command_line import argument_parser, positive_int_argument

GRID = {"solver": ["sgd", "rmsprop", "adam"], "learning_rate_init": [0.001, 0.01, 0.1]}


def parse() -> argparse.Namespace:
    parser = argument_parser(__doc__)
    add = parser.add_argument
    add("--workers", type=positive_int_argument, default=2, help="processes to start (default: 2)")
    add("--scheduler", metavar="ADDRESS", help="use the Dask workers of this scheduler instead")
    add("--epochs", type=positive_int_argument, default=20, help="of each training (default: 20)")
    args = parser.parse_args()
    if not (find_spec("sklearn") and find_spec("distributed")):
        parser.error('it needs two extras: pip install "minigrad[sklearn,distributed]"')
    return args


def main() -> None:
    args = parse()
    from distributed import Client, LocalCluster
    from joblib import parallel_config
    from sklearn.datasets import load_digits
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import GridSearchCV

    from minigrad.sklearn import MLPClassifier

    x, y = load_digits(return_X_y=True)
    model = MLPClassifier((32,), max_iter=args.epochs, n_iter_no_change=args.epochs, random_state=0)
    search = GridSearchCV(model, GRID, cv=3)
    own = {"n_workers": args.workers, "threads_per_worker": 1, "dashboard_address": None}
    cluster = nullcontext(args.scheduler) if args.scheduler else LocalCluster(**own)
    with cluster as workers, Client(workers) as client, parallel_config(backend="dask"):
        warnings.simplefilter("ignore", ConvergenceWarning)  # the epochs are fixed on purpose
        client.run(warnings.simplefilter, "ignore", ConvergenceWarning)
        search.fit(x / 16, y)

    print(f"{'solver':10} {'lr':>6}  accuracy in 3-fold cross-validation")
    results = search.cv_results_
    for settings, mean, spread in zip(
        results["params"], results["mean_test_score"], results["std_test_score"]
    ):
        lr = settings["learning_rate_init"]
        print(f"{settings['solver']:10} {lr:6g}  {mean:.4f} ± {spread:.4f}")
    print(f"best: {search.best_params_}, {search.best_score_:.4f}")


if __name__ == "__main__":
    main()
