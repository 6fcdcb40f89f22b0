# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""Lesson 1: gradient descent finds the line through noisy points."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="1 · Gradient descent on a line")

with app.setup:
    import marimo as mo
    import numpy as np

    from minigrad import Tensor, plotting
    from minigrad.datasets import synthetic


@app.cell(hide_code=True)
def _():
    mo.md("""
    # 1 · Gradient descent on a line

    **Question.** How does a gradient find the line through noisy points?

    The line is `w[0] + w[1]·x`: the number `w[0]` is the intercept, and `w[1]` is the slope.
    The loss is the mean of the squared errors. An error is the vertical distance from a point to
    the line. We want a small loss.

    The gradient `g` has one number for each number of `w`. It says how fast the loss changes when
    that number of `w` grows. If it is positive, the loss grows. So go the other way:

        w ← w − lr·g

    `lr` is the learning rate. It decides how long a step is.
    """)
    return


@app.cell
def _():
    rng = np.random.RandomState(0)
    x, y = synthetic.linear(rng)  # 100 points: y = 4 + 3·x + noise
    X = np.hstack([np.ones_like(x), x])  # X @ w is w[0] + w[1]·x
    start = rng.standard_normal((2, 1))
    best = np.linalg.lstsq(X, y, rcond=None)[0]  # least squares: the smallest possible loss
    return X, best, start, x, y


@app.cell
def _(X, start, y):
    def descend(lr, steps=50):
        """Return w after the last step, and the loss before each step."""
        w = Tensor(start.copy(), requires_grad=True)
        losses = []
        for _ in range(steps):
            loss = np.mean((X @ w - y) ** 2)
            loss.backward()  # puts the gradient into w.grad
            w.data -= lr * w.grad  # the update: w ← w − lr·g
            w.grad = None
            losses.append(loss.item())
        return w.data, losses

    return (descend,)


@app.cell(hide_code=True)
def _():
    lr = mo.ui.slider(0.01, 0.5, 0.01, value=0.02, label="learning rate lr", show_value=True)
    mo.vstack([lr])
    return (lr,)


@app.cell(hide_code=True)
def _(X, best, descend, lr, start, x, y):
    def draw(w, losses):
        figure = plotting.figure(2, 1, (6.4, 6.0))
        line, curve = figure.axes
        line.plot(x, y, "o", markersize=3, color=plotting.INK, alpha=0.7, label="points")
        lines = {"at the start": start, f"after {len(losses)} steps": w, "least squares": best}
        for (name, (intercept, slope)), dash in zip(lines.items(), (":", "-", "--")):
            text = f"{name}: {intercept[0]:.4f} {slope[0]:+.4f}·x"
            line.plot([0, 2], [intercept, intercept + 2 * slope], dash, label=text)
        line.set_ylim(-2, 17)
        plotting.label(line, "x", "y", "The line", legend="upper left")
        curve.plot(losses, color=plotting.COLORS[1], label="loss")
        smallest = np.mean((X @ best - y) ** 2)
        curve.axhline(smallest, color=plotting.COLORS[2], linestyle="--", label="least squares")
        curve.set(yscale="log", ylim=(0.5, 2e3))
        curve.yaxis.set_major_formatter("{x:g}")
        curve.minorticks_off()
        plotting.label(curve, "step", "loss", "The loss before each step")
        return figure

    draw(*descend(lr.value))
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    Move the slider. With a small `lr`, the loss falls slowly. With a larger `lr`, it falls fast. If
    `lr` is too large, each step jumps over the minimum, and the loss grows.

    ## Exercises

    1. Move the slider. What is the largest `lr` for which the loss falls?
    2. Set `lr` to 0.4. Change `steps` in the cell of `descend`. After how many steps do the
       intercept and the slope both differ by less than 0.01 from least squares?
    3. (harder) Change the update to that of RMSprop. Before the loop, write `v = 0`. In the loop,
       compute `v` first, and then divide by its root:

            v = 0.9 * v + 0.1 * w.grad**2
            w.data -= lr * w.grad / np.sqrt(v + 1e-8)

        Set `lr` to 0.1 and `steps` to 1000. How far from least squares does it end? Set `lr` to
        0.05 and compare. What does the distance depend on?

    To change the code, open this page with `marimo edit`. If it shows no picture, press ▶ there.
    Solutions: `solutions/01_gradient_descent.py`
    """)
    return


if __name__ == "__main__":
    app.run()
