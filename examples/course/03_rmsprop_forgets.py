# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""Lesson 3: RMSprop averages the squared gradients and forgets old ones."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="3 · RMSprop forgets")

with app.setup:
    import marimo as mo
    import numpy as np

    from minigrad import Tensor, plotting
    from minigrad.optimizers import get


@app.cell(hide_code=True)
def _():
    mo.md("""
    # 3 · RMSprop forgets

    **Question.** How long should an optimizer remember old gradients?

    AdaGrad remembers all gradients for ever. RMSprop replaces the sum by a moving average:

        v ← ρ·v + (1 − ρ)·g²
        u = g / (√v + ε)
        w ← w − lr·u

    `ρ`, in the code `rho`, is the share of `v` that each step keeps.
    A squared gradient enters `v` with the weight `1 − ρ`. Each later step multiplies its weight by
    `ρ`. After `k` steps its weight is `(1 − ρ)·ρᵏ`, so the optimizer slowly forgets it.

    Below, the gradient is 10 for 100 steps, and then 1 for 200 steps. How soon does the optimizer
    notice? Look at `u`. For a constant gradient, `v` should be `g²`, and `u` should be 1.
    """)
    return


@app.cell
def _():
    def directions(name, **hyper):
        """Return u of every step."""
        w = Tensor(np.zeros(1), requires_grad=True)
        optimizer = get(name, [w], lr=1.0, **hyper)  # with lr = 1 a step is as long as u
        us = []
        for step in range(300):
            before = w.data[0]
            loss = np.sum((10.0 if step < 100 else 1.0) * w)  # its gradient is 10, then 1
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            us.append(before - w.data[0])
        return np.array(us)

    adagrad = directions("adagrad")
    return adagrad, directions


@app.cell(hide_code=True)
def _():
    rho = mo.ui.slider(
        steps=[0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999],
        value=0.99,
        label="share of v that each step keeps: ρ",
        show_value=True,
    )
    mo.vstack([rho])
    return (rho,)


@app.cell
def _(directions, rho):
    u = directions("rmsprop", rho=rho.value)
    return (u,)


@app.cell(hide_code=True)
def _(adagrad, rho, u):
    def draw(rho, u):
        figure = plotting.figure(2, 1, (6.4, 6.0))
        weights, steps = figure.axes
        k = np.arange(40)
        share = (1 - rho) * rho**k
        text = f"sum of these 40: {sum(share):.3f}; of all: 1"
        weights.vlines(k, 0, share, plotting.COLORS[0], linewidth=4.5, label=text)
        title = "The weight of an old g² in v"
        plotting.label(weights, "age k of the gradient, in steps", "(1 − ρ)·ρᵏ", title)
        weights.set_ylim(0, 1.2 * (1 - rho))
        steps.plot(u, label=f"RMSprop: first {u[0]:.2f}, {u[160]:.2f} in step 160")
        steps.plot(adagrad, "--", label="AdaGrad")
        steps.axvline(100, 0, 0.8, color=plotting.INK, linewidth=0.8, linestyle=":")
        steps.set(yscale="log", ylim=(0.008, 50))
        steps.yaxis.set_major_formatter("{x:g}")
        steps.minorticks_off()
        plotting.label(steps, "step", "u", "g is 10 until step 100, then 1", legend="upper right")
        return figure

    draw(rho.value, u)
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    With `ρ = 0.999`, RMSprop behaves like AdaGrad: it remembers too long. With `ρ = 0`, it
    remembers nothing. Then `u = g / √g²` is the sign of `g`: the step does not depend on the size
    of the gradient.

    ## Exercises

    1. Move the slider. What is the largest `ρ` for which `u` is above 0.9 in step 160?
    2. The first steps are too long, because `v` starts at 0. In the cell below the slider, add
       `bias_correction=True` after `rho=rho.value`: then RMSprop divides `v` by `1 − ρᵗ` in step
       `t`. For `ρ = 0.99`, how long is the first step without it, and with it?
    3. (harder) In a new cell, minimize `0.1·w[0]² + 2·w[1]²`. Start at
       `Tensor(np.array([-5.0, -2.0]), requires_grad=True)`. Take 20 steps of RMSprop with `lr=0.4`,
       `rho=0.9`, `eps=1e-6` and `eps_in_sqrt=True`. The book Dive into Deep Learning ends at
       −0.010599, 0.000000. Where do you end?

    To change the code, open this page with `marimo edit`. If it shows no picture, press ▶ there.
    Solutions: `solutions/03_rmsprop_forgets.py`
    """)
    return


if __name__ == "__main__":
    app.run()
