# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""Lesson 2: AdaGrad adds up all squared gradients, so its steps become too small."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="2 · AdaGrad stalls")

with app.setup:
    import marimo as mo
    import numpy as np

    from minigrad import Tensor, plotting
    from minigrad.optimizers import AdaGrad


@app.cell(hide_code=True)
def _():
    mo.md("""
    # 2 · AdaGrad stalls

    **Question.** Why do the steps of AdaGrad become too small?

    Gradient descent uses one `lr` for all numbers of `w`. AdaGrad gives each number its own step
    size. It adds up the squares of its gradients so far, and divides by the root of this sum:

        r ← r + g²
        u = g / (√r + ε)
        w ← w − lr·u

    `ε` is a very small number. It prevents a division by 0.
    The sum `r` never becomes smaller. So the effective learning rate `lr / (√r + ε)` never rises.

    Below, the loss is ½·(w − c)². Its minimum `c` is first at 0. Then `c` jumps to 2, and AdaGrad
    has 100 steps to follow. The gradient is `w − c`. We add noise to it, as mini-batches do.
    """)
    return


@app.function
def follow(jump, lr=0.1, noise=0.5):
    """Return c, w and the effective learning rate after each step: (jump + 100, 3)."""
    rng = np.random.default_rng(0)
    w = Tensor(np.zeros(1), requires_grad=True)
    optimizer = AdaGrad([w], lr=lr)
    rows = []
    for step in range(jump + 100):
        c = 0.0 if step < jump else 2.0
        loss = np.sum((w - c) ** 2 / 2 + noise * rng.standard_normal() * w)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        r = optimizer.slots["0"]["sum_of_squares"]
        rows.append([c, w.data[0], lr / (np.sqrt(r[0]) + optimizer.eps)])
    return np.array(rows)


@app.cell(hide_code=True)
def _():
    jump = mo.ui.slider(
        0, 500, 50, value=50, label="step at which the minimum moves", show_value=True
    )
    mo.vstack([jump])
    return (jump,)


@app.cell(hide_code=True)
def _(jump):
    def draw(c, w, effective_lr):
        figure = plotting.figure(2, 1, (6.4, 6.0))
        weight, rate = figure.axes
        weight.plot(c, "--", color=plotting.INK, label="minimum")
        weight.plot(w, label=f"AdaGrad: w = {w[-1]:.2f} at the end")
        weight.set_ylim(-0.6, 3.2)
        plotting.label(weight, "step", "w", "The way to the minimum", legend="upper left")
        rate.plot(effective_lr, label=f"AdaGrad: {effective_lr[-1]:.4f} at the end")
        rate.set(yscale="log", ylim=(1e-3, 10))
        rate.yaxis.set_major_formatter("{x:g}")
        rate.minorticks_off()
        plotting.label(rate, "step", "lr / (√r + ε)", "The effective learning rate")
        return figure

    draw(*follow(jump.value).T)
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    Move the slider to the right. Until the jump, the noise makes `r` larger with every step. The
    later the jump, the less AdaGrad can move after it.

    ## Exercises

    1. Move the slider. What is the latest jump after which `w` still reaches 1.1 in 100 steps?
    2. How fast do the steps shrink? In the cell of `follow`, set the loss to `np.sum(w)`: now every
       gradient is 1. Set the slider to 0, so that there are 100 steps. What is the effective
       learning rate at the end? Write it as a formula of `lr` and the number of steps.
    3. (harder) Let AdaGrad forget: add the line `r *= 0.9` after the line that begins with `r =`.
       Restore the loss, and set the slider to 500. Does AdaGrad follow now? With which `lr` does
       RMSprop (`rho=0.9`) take the same steps?

    To change the code, open this page with `marimo edit`. If it shows no picture, press ▶ there.
    Solutions: `solutions/02_adagrad_stalls.py`
    """)
    return


if __name__ == "__main__":
    app.run()
