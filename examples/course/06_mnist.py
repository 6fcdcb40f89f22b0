# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""Lesson 6: train a network on handwritten digits, from the images to the accuracy."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="6 · MNIST from end to end")

with app.setup:
    import os

    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # threads can wait for each other

    import marimo as mo
    import numpy as np

    from minigrad import no_grad, plotting
    from minigrad.datasets import batches, mnist
    from minigrad.functional import cross_entropy
    from minigrad.layers import Dense
    from minigrad.models import Sequential
    from minigrad.optimizers import get


@app.cell(hide_code=True)
def _():
    mo.md("""
    # 6 · MNIST from end to end

    **Question.** Which learning rate lets a network learn to read digits?

    MNIST has images of handwritten digits. An image has 28·28 = 784 pixels. From them, the network
    computes 10 numbers, one for each digit: the logits. The digit with the largest one is its
    answer.

    Training repeats four stages, with a batch of 64 images each time:

    - forward: compute the logits, and the loss from them
    - backward: compute the gradient of the loss for each weight
    - step: let the optimizer change the weights
    - zero: delete the gradients before the next batch

    At the end, we count the correct answers for images that the training has not used. It uses only
    6,000 images, so that it is fast. We count on 10,000 others, the validation images. We choose
    `lr` with them, so their accuracy is a little too good. The test images of MNIST would measure
    the network once, after the last choice.
    """)
    return


@app.cell
def _():
    def flatten(images):
        """Scale bytes (N, 28, 28) to rows (N, 784) of 0 … 1."""
        return np.divide(images.reshape(-1, 784), 255, dtype=np.float32)

    (images, labels), _ = mnist.load_data()
    x, y = flatten(images[:6000]), labels[:6000]
    val_images, val_labels = images[-10_000:], labels[-10_000:]
    val_x = flatten(val_images)
    return val_images, val_labels, val_x, x, y


@app.cell
def _(val_x, x, y):
    def train(lr, optimizer="rmsprop", hidden=32, epochs=3):
        """Return the loss of each step, and the answers for the validation images."""
        layers = [Dense(hidden, activation="relu", input_shape=(784,)), Dense(10)]
        model = Sequential(layers, seed=0)
        optimizer = get(optimizer, model.parameters(), lr=lr)
        rng = np.random.default_rng(0)
        losses = []
        for _ in range(epochs):
            for batch_x, batch_y in batches(x, y, 64, rng):
                loss = cross_entropy(model(batch_x), batch_y)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                losses.append(loss.item())
        with no_grad():
            answers = np.argmax(model(val_x).data, axis=1)
        return losses, answers

    rates = [0.00001, 0.0001, 0.001, 0.01, 0.1, 1]
    runs = {rate: train(rate) for rate in rates}  # all at once, so that the slider is fast
    return rates, runs


@app.cell(hide_code=True)
def _(rates):
    lr = mo.ui.slider(steps=rates, value=0.00001, label="learning rate lr", show_value=True)
    mo.vstack([lr])
    return (lr,)


@app.cell(hide_code=True)
def _(lr, runs, val_images, val_labels):
    def draw(rate):
        figure = plotting.figure(2, 1, (6.4, 6.0))
        curves, digits = figure.axes
        for other, (losses, answers) in runs.items():
            mean = np.convolve(losses, np.ones(20) / 20, "valid")  # of 20 steps: less noise
            accuracy = np.mean(answers == val_labels)
            chosen = {"color": plotting.COLORS[0], "label": f"lr = {rate:g}", "zorder": 3}
            others = {"color": plotting.INK, "alpha": 0.4, "linewidth": 1}
            curves.plot(mean, "-", **(chosen if other == rate else others))
            if other == rate:
                title = f"Validation: {accuracy:.1%} of the answers are correct"
        curves.plot([], [], "-", **others, label="the other learning rates")
        curves.set_ylim(0, 4)
        plotting.label(curves, "step", "loss, mean of 20 steps", "Training", legend="below")
        shown, right = val_images[:24], runs[rate][1][:24] == val_labels[:24]
        sheet = np.pad(shown, ((0, 0), (14, 0), (3, 3))).reshape(4, 6, 42, 34)
        digits.imshow(sheet.transpose(0, 2, 1, 3).reshape(168, 204), cmap="gray")
        for i, answer in enumerate(runs[rate][1][:24]):
            place = i % 6 * 34 + 17, i // 6 * 42 + 8
            color = plotting.COLORS[5 if right[i] else 1]
            text = f"{answer}" if right[i] else f"{answer} ✗"
            digits.text(*place, text, color=color, ha="center", va="center", size=9)
        digits.axis("off")
        digits.set_title(title)
        return figure

    draw(lr.value)
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    Above each image is the answer of the network; ✗ marks a wrong one.

    Move the slider. With a small `lr`, the network learns too slowly. With a large `lr`, the steps
    are too long, and the loss stays high.

    ## Exercises

    1. Move the slider. Which `lr` gives the most correct answers?
    2. In the cell of `train`, replace `optimizer="rmsprop"` with `optimizer="sgd"`. Which `lr` is
       best now? Why is it larger?
    3. (harder) Reach an accuracy of 96 %, with at most 20,000 images and 4 epochs. Use more images,
       more hidden units, and a learning rate that falls during training: replace `lr` with
       `CosineDecay(lr, steps)` from `minigrad.optimizers.schedules`.

    To change the code, open this page with `marimo edit`. If it shows no picture, press ▶ there.
    Solutions: `solutions/06_mnist.py`
    """)
    return


if __name__ == "__main__":
    app.run()
