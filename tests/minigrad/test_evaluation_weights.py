"""Models and checkpoints with optimizers that evaluate other weights than they train."""

import copy
import pickle
import threading

import numpy as np
import pytest

from minigrad import checkpoint, optimizers
from minigrad.callbacks import EarlyStopping, LambdaCallback, ModelCheckpoint
from minigrad.layers import Dense, Dropout
from minigrad.models import Sequential
from minigrad.optimizers import EMA, SGD, SWA, Adam, Wrapper
from minigrad.regularizers import NonNeg
from tests.minigrad.helpers import assert_same_state

rng = np.random.default_rng(3)
X = rng.standard_normal((40, 5)).astype(np.float32)
Y = X @ rng.standard_normal((5, 1)).astype(np.float32)


class Twice(Wrapper):
    """Compute the gradients twice; the inner optimizer uses the second ones."""

    needs_closure = True
    calls = 0

    def step(self, closure=None):
        loss = self.run_closure(closure)
        self.zero_grad()
        closure()
        self.calls += 1
        self.inner.step()
        return loss


def make_model(optimizer=None, metrics=()):
    model = Sequential([Dense(8, "tanh", input_shape=(5,)), Dense(1)], seed=0)
    model.compile(optimizer or EMA(SGD(lr=0.05), decay=0.9), "mean_squared_error", metrics)
    return model


def loss_of(state):
    model = make_model("sgd")
    model.load_state_dict(state)
    return model.evaluate(X, Y, 32)


def averages(model):
    """Return the weights for evaluation, from the wrapper's slots, without evaluating()."""
    return {name: own["average"].copy() for name, own in model.optimizer.own_slots.items()}


def test_fit_evaluate_and_predict_use_the_weights_for_evaluation():
    model, plain = make_model(), make_model(SGD(lr=0.05))
    history = model.fit(X, Y, epochs=3, verbose=0, validation_data=(X, Y)).history
    plain.fit(X, Y, epochs=3, verbose=0)
    assert_same_state(model.state_dict(), plain.state_dict())
    expected = loss_of(averages(model))
    assert model.evaluate(X, Y, 32) == history["val_loss"][-1] == expected
    assert expected != loss_of(model.state_dict())
    assert np.mean((model.predict(X) - Y) ** 2) == pytest.approx(expected, rel=1e-6)
    assert np.mean((model(X).data - Y) ** 2) == pytest.approx(plain.evaluate(X, Y), rel=1e-6)


def test_the_training_weights_come_back_if_the_validation_fails():
    model = make_model()
    model.fit(X, Y, verbose=0)
    before = model.state_dict()

    def fail(y_true, y_pred):
        raise ValueError("no metric")

    model.metrics = {"fail": fail}
    with pytest.raises(ValueError, match="no metric"):
        model.evaluate(X, Y)
    assert_same_state(model.state_dict(), before)
    assert not model.optimizer.is_evaluating


def test_averages_satisfy_the_constraints_when_they_are_evaluated():
    model = Sequential([Dense(1, kernel_constraint=NonNeg(), input_shape=(5,))], seed=0)
    model.compile(EMA(SGD(lr=0.05), decay=0.5), "mse")
    model.fit(X, -np.abs(Y) - X.sum(axis=1, keepdims=True), epochs=5, verbose=0)
    before = model.layers[0].kernel.data.copy()
    with model.evaluation_weights():
        assert (model.layers[0].kernel.data >= 0).all()
    np.testing.assert_array_equal(model.layers[0].kernel.data, before)


def test_early_stopping_keeps_the_weights_that_it_has_measured():
    model = make_model(EMA(SGD(lr=0.3), decay=0.5))
    stop = EarlyStopping("val_loss", patience=3, restore_best_weights=True)
    history = model.fit(
        X, Y, epochs=30, verbose=0, validation_data=(X, -Y), callbacks=[stop]
    ).history["val_loss"]
    assert len(history) < 30
    assert model.evaluate(X, -Y, 32) == min(history)  # not averaged once more
    assert loss_of(model.state_dict()) == model.evaluate(X, Y, 32)


def test_files_hold_both_weights(tmp_path):
    model = make_model()
    model.fit(X, Y, epochs=2, verbose=0)
    training, evaluated = model.state_dict(), averages(model)
    model.save_weights(tmp_path / "weights.npz")
    model.save(tmp_path / "all.npz")
    assert_same_state(model.state_dict(), training)

    def loaded(load, optimizer=None):
        other = make_model(optimizer)
        load(other)
        return other

    for name in ("weights.npz", "all.npz"):
        other = loaded(lambda m, name=name: m.load_weights(tmp_path / name))
        assert_same_state(other.state_dict(), evaluated)
        assert other.evaluate(X, Y) == model.evaluate(X, Y)
    again = loaded(lambda m: m.load(tmp_path / "all.npz"))
    assert_same_state(again.state_dict(), training)
    assert again.evaluate(X, Y) == model.evaluate(X, Y)

    uncompiled = Sequential([Dense(8, "tanh", input_shape=(5,)), Dense(1)])
    checkpoint.load(tmp_path / "all.npz", uncompiled)
    assert np.array_equal(uncompiled.predict(X), model.predict(X))


def test_plain_optimizers_store_the_weights_once(tmp_path):
    model = make_model("sgd")
    model.fit(X, Y, verbose=0)
    assert "evaluation" not in checkpoint.read(model.save(tmp_path / "all.npz"))


def test_a_checkpoint_with_wrong_weights_for_evaluation_is_refused(tmp_path):
    model = make_model()
    model.fit(X, Y, verbose=0)
    content = checkpoint.read(model.save(tmp_path / "all.npz"))
    for wrong in (3, {"layers.0.kernel": np.ones(2)}):
        checkpoint.write(tmp_path / "wrong.npz", content | {"evaluation": wrong})
        with pytest.raises(checkpoint.CheckpointError):
            make_model().load_weights(tmp_path / "wrong.npz")


def test_loaded_weights_are_evaluated_as_they_are():
    model = make_model()
    model.fit(X, Y, verbose=0)
    zeros = {name: np.zeros_like(a) for name, a in model.state_dict().items()}
    model.load_state_dict(zeros)
    assert np.all(model.predict(X) == 0)
    model.fit(X, Y, verbose=0)
    assert model.evaluate(X, Y, 32) == loss_of(averages(model))


@pytest.mark.parametrize(
    "make", [lambda: EMA(Adam(), decay=0.5), lambda: SWA(Twice(SGD()), start=3)]
)
def test_a_resumed_training_has_the_same_bits(make, tmp_path):
    whole, first, second = (make_model(make()) for _ in range(3))

    def train(model, **options):
        return model.fit(X, Y, 8, verbose=0, validation_split=0.25, **options).history

    history = train(whole, epochs=4)

    def stop(batch, logs):
        first.stop_training |= first.training_state.epoch == 1 and batch == 1

    train(first, epochs=4, callbacks=[ModelCheckpoint(tmp_path), LambdaCallback(on_batch_end=stop)])
    assert train(second, epochs=4, resume=tmp_path) == history
    assert second.predict(X).tobytes() == whole.predict(X).tobytes()
    for name, a in whole.optimizer.state_dict()["slots"].items():
        assert a.tobytes() == second.optimizer.state_dict()["slots"][name].tobytes()


def test_a_wrapper_without_weights_for_evaluation_resumes_its_slots(tmp_path):
    class Counts(Wrapper):
        def init(self, w):
            return {"n": np.zeros(())}

        def after_step(self, w, slots):
            slots["n"] += 1

    model, resumed = make_model(Counts(SGD())), make_model(Counts(SGD()))
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "all.npz")
    resumed.load(tmp_path / "all.npz")
    assert resumed.optimizer.own_slots["layers.0.kernel"]["n"] == 2


def test_fit_hands_the_closure_over():
    model, plain = make_model(Twice(SGD(lr=0.05))), make_model(SGD(lr=0.05))
    histories = [m.fit(X, Y, 8, epochs=2, verbose=0).history for m in (model, plain)]
    assert model.optimizer.calls == 10
    assert histories[0] == histories[1]  # the second gradient is that of the first pass
    logs = model.train_on_batch(X, Y)
    assert logs["loss"] == plain.train_on_batch(X, Y)["loss"]
    with pytest.raises(TypeError, match=r"Twice: call step\(closure\)"):
        model.optimizer.step()


def test_the_logs_are_of_the_first_pass():
    model = Sequential([Dense(8, "relu", input_shape=(5,)), Dropout(0.5), Dense(1)], seed=0)
    seen = []

    def loss(y_true, y_pred):
        value = np.mean((y_pred - y_true) ** 2)
        seen.append(value.item())
        return value

    model.compile(Twice(SGD(lr=0.05)), loss)
    logs = model.train_on_batch(X, Y)
    assert logs["loss"] == seen[0] != seen[1]


def test_threads_that_predict_during_a_training_change_no_bit():
    model, alone = (make_model(EMA(SGD(lr=0.05), decay=0.9)) for _ in range(2))
    alone.fit(X, Y, 4, epochs=10, verbose=0)
    errors, done = [], threading.Event()

    def predict():
        while not done.is_set():
            try:
                model.predict(X)
            except Exception as error:
                errors.append(error)

    threads = [threading.Thread(target=predict) for _ in range(2)]
    for thread in threads:
        thread.start()
    model.fit(X, Y, 4, epochs=10, verbose=0)
    done.set()
    for thread in threads:
        thread.join(10)
    assert not errors
    assert_same_state(model.state_dict(), alone.state_dict())


def test_ema_and_swa_are_found_by_name():
    model = make_model("ema")
    assert isinstance(model.optimizer, EMA)
    assert repr(optimizers.get("swa", inner="sgd", every=3)) == "SWA(SGD(lr=0.01), every=3)"


# ---- Weights that are loaded ----


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Return a file with weights of a small loss, and that loss."""
    model = make_model(SGD(lr=0.1))
    model.fit(X, Y, epochs=30, verbose=0)
    path = tmp_path_factory.mktemp("good") / "good.npz"
    model.save_weights(path)
    return path, model.evaluate(X, Y)


@pytest.mark.parametrize("make", [EMA, SWA])
def test_loaded_weights_stay_loaded(make, good, tmp_path):
    path, loss = good
    model = make_model(make(SGD(lr=1e-4)))
    model.fit(X, Y, epochs=2, verbose=0)
    model.load_weights(path)
    assert model.evaluate(X, Y) == loss
    model.save(tmp_path / "a.npz")
    other = make_model(make(SGD(lr=1e-4)))
    other.load(tmp_path / "a.npz")
    assert other.evaluate(X, Y) == loss
    other.fit(X, Y, verbose=0)  # and the average goes on from them
    assert other.evaluate(X, Y) == pytest.approx(loss, rel=0.05)
    model.save(tmp_path / "b.npz")
    last = make_model(make(SGD(lr=1e-4)))
    last.load(tmp_path / "b.npz")
    last.load_weights(path)
    assert last.evaluate(X, Y) == loss


def test_a_first_step_that_fails_leaves_no_average(good):
    path, loss = good
    model = make_model()
    with pytest.raises(FloatingPointError):
        model.train_on_batch(X * np.nan, Y)
    model.load_weights(path)
    assert model.evaluate(X, Y) == loss


def test_a_copy_of_the_model_evaluates_the_same_weights():
    model = make_model()
    model.fit(X, Y, epochs=2, verbose=0)
    loss = model.evaluate(X, Y)
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert again.evaluate(X, Y) == loss


def test_a_loss_from_before_predict_keeps_its_gradient():
    model = make_model()
    model.fit(X, Y, verbose=0)
    loss = np.mean((model(X) - Y) ** 2)
    model.predict(X)
    loss.backward()
    assert all(p.grad is not None for p in model.parameters())


def test_weights_are_not_loaded_while_others_are_in_place():
    model = make_model()
    model.fit(X, Y, verbose=0)
    state = model.state_dict()
    with model.optimizer.evaluating(), pytest.raises(RuntimeError, match="leave `with optimizer"):
        model.load_state_dict(state)


def test_a_batch_that_fails_leaves_no_gradient():
    model, other = make_model(SGD(lr=0.1)), make_model(SGD(lr=0.1))
    with pytest.raises(FloatingPointError):
        model.train_on_batch(X * np.nan, Y)
    assert model.train_on_batch(X, Y) == other.train_on_batch(X, Y)
    assert model.evaluate(X, Y) == other.evaluate(X, Y)
