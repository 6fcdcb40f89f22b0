# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""Lesson 4: momentum keeps the direction; Adam is momentum with the step sizes of RMSprop."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="4 · Momentum and Adam")

with app.setup:
    import marimo as mo
    import numpy as np

    from minigrad import Tensor, plotting
    from minigrad.optimizers import SGD, Adam


@app.cell(hide_code=True)
def _():
    mo.md("""
    # 4 · Momentum and Adam

    **Question.** What does an optimizer gain when it remembers its direction?

    The loss is `0.1·w[0]² + 2·w[1]²`. It is a valley: steep across, and nearly flat along.
    Gradient descent jumps from one side of the valley to the other, and moves slowly along it.

    Momentum adds the old gradients to the new one. `β` is the share of their sum that it keeps:

        b ← β·b + g
        w ← w − lr·b

    Steps across the valley cancel, because their signs change. Steps along the valley add up.

    Adam keeps two moving averages: `m` of the gradients, and `v` of their squares. `m` gives the
    direction. Adam divides it by the root of `v`, as RMSprop does:

        m ← β₁·m + (1 − β₁)·g
        v ← β₂·v + (1 − β₂)·g²
        m̂ = m / (1 − β₁ᵗ),  v̂ = v / (1 − β₂ᵗ)
        w ← w − lr·m̂ / (√v̂ + ε)

    `m` and `v` start at 0, so they are too small in the first steps. `m̂` and `v̂` correct this
    bias. `t` is the number of the step. The slider below sets both momentum's `β` and Adam's `β₁`.
    """)
    return


@app.cell
def _():
    def valley(w0, w1):
        return 0.1 * w0**2 + 2 * w1**2

    def path(make, steps=20):
        """Return w at the start and after each step: (steps + 1, 2)."""
        w = Tensor(np.array([-5.0, -2.0]), requires_grad=True)
        optimizer = make([w])
        points = [w.data.copy()]
        for _ in range(steps):
            loss = valley(w[0], w[1])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            points.append(w.data.copy())
        return np.array(points)

    return path, valley


@app.cell(hide_code=True)
def _():
    beta = mo.ui.slider(
        0, 0.95, 0.05, value=0, label="momentum β, and β₁ of Adam", show_value=True
    )
    mo.vstack([beta])
    return (beta,)


@app.cell
def _(beta, path):
    lr = 0.4
    paths = {
        "momentum": path(lambda w: SGD(w, lr=lr, momentum=beta.value)),
        "Adam": path(lambda w: Adam(w, lr=lr, beta1=beta.value)),
    }
    return (paths,)


@app.cell(hide_code=True)
def _(paths, valley):
    def draw(paths):
        figure = plotting.figure(1, 1, (8.0, 4.2))
        (ax,) = figure.axes
        w0, w1 = np.meshgrid(np.linspace(-5.5, 2.5, 80), np.linspace(-2.6, 2.6, 80))
        levels = np.linspace(0.2, 2, 10) ** 4
        ax.contour(w0, w1, valley(w0, w1), levels, colors=plotting.INK, linewidths=0.6, alpha=0.6)
        ax.plot(0, 0, "*", color=plotting.INK, ms=11)
        for name, points in paths.items():
            end = f"{name}: ends at {points[-1, 0]:.5f}, {points[-1, 1]:.5f}"
            loss = f"loss {valley(*points[-1]):.2g}"
            ax.plot(*points.T, marker=".", label=f"{end}; {loss}")
        ax.set(xlim=(-5.5, 2.5), ylim=(-2.6, 2.6))
        title = "20 steps in a valley; the star is the minimum"
        plotting.label(ax, "w[0]", "w[1]", title, legend="below")
        return figure

    draw(paths)
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    Move the slider slowly to the right. The zigzag disappears. Then the paths run past the minimum,
    like a heavy ball, and come back.

    ## Exercises

    1. Move the slider. For which `β` is the loss of momentum smallest at the end?
    2. Set `lr = 0.6` in the cell above the picture. What happens to momentum with `β = 0`?
       Where does it end with `β = 0.25` and with `β = 0.5`?
    3. (harder) With `β = 0`, Adam is an RMSprop with the right switches. Import RMSprop, and add
       `"RMSprop": path(lambda w: RMSprop(w, lr=lr, …))` to `paths`. Which arguments give it Adam's
       path? `help(RMSprop)` lists them.

    To change the code, open this page with `marimo edit`. If it shows no picture, press ▶ there.
    Solutions: `solutions/04_momentum_and_adam.py`
    """)
    return


if __name__ == "__main__":
    app.run()
