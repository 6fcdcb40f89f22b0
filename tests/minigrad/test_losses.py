"""Losses and metrics: lookup by name, and accuracy."""

import numpy as np
import pytest

from minigrad import Tensor, losses


def test_accuracy_of_integer_and_one_hot_labels():
    p = np.array([[0.2, 0.8], [0.9, 0.1], [0.4, 0.6]])
    assert losses.accuracy(Tensor(p), [1, 0, 0]) == pytest.approx(2 / 3)
    assert losses.accuracy(p, np.eye(2)[[1, 0, 0]]) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match=r"labels of shape \(3,\)"):
        losses.accuracy(p, [1, 0])


def test_a_loss_may_be_a_name_a_class_an_object_or_a_function():
    prediction, target = Tensor([[1.0], [2.0]]), np.array([[0.0], [0.0]])
    for loss in ("MSE", losses.MeanSquaredError, losses.MeanSquaredError()):
        assert losses.get_loss(loss)(prediction, target).item() == 2.5
    assert losses.get_loss(losses.cross_entropy) is losses.cross_entropy
    logits = Tensor([[0.0, 1.0]])
    assert (
        losses.get_loss("categorical_crossentropy")(logits, [1]).item()
        == losses.CategoricalCrossentropy()(logits, [[0.0, 1.0]]).item()
    )


@pytest.mark.parametrize(
    ("get", "name", "message"),
    [
        (losses.get_loss, "mean_squared_eror", "unknown loss .* did you mean 'mean_squared_error'"),
        (losses.get_metric, "acuracy", "unknown metric .* did you mean 'accuracy'"),
        (losses.get_loss, 3, "unknown loss 3"),
    ],
)
def test_unknown_names_get_a_suggestion(get, name, message):
    with pytest.raises(ValueError, match=message):
        get(name)


@pytest.mark.parametrize("prediction", [[[0.9], [0.1]], [3.0, 1.0], 1.0])
def test_accuracy_needs_two_classes(prediction):
    with pytest.raises(ValueError, match="2 or more classes is required"):
        losses.accuracy(prediction, prediction)
