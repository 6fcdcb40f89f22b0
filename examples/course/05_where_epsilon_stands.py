# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""Lesson 5: some frameworks add ε outside the root, others inside; all call it RMSprop."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="5 · Where ε stands")

with app.setup:
    from html import escape

    import marimo as mo
    import numpy as np

    from minigrad import Tensor, plotting
    from minigrad.optimizers import RMSprop


@app.cell(hide_code=True)
def _():
    mo.md("""
    # 5 · Where ε stands

    **Question.** Why does the same RMSprop move in one framework and stand still in another?

    RMSprop divides by the root of `v`. A small number `ε`, in the code `eps`, prevents a division
    by 0. Some frameworks add it to the root. Others add it to `v`, inside the root:

        u = g / (√v + ε)      ε outside
        u = g / √(v + ε)      ε inside

    `v` has the size of `g²`. So `ε` outside must be small beside `g`, and `ε` inside must be small
    beside `g²`. Inside, `ε` acts like `√ε` outside: 1e-8 inside acts like 1e-4 outside.

    We compare six conventions: PyTorch (`torch`), Keras 3 (`keras`), Keras 2 (`keras2`), optax, the
    book Dive into Deep Learning (`d2l`) and TensorFlow 1 (`tf1`). `tf1` has one more difference:
    its `v` starts at 1, so its first steps are short if `g` is small.

    In the picture, the gradient `g` is the same in every step. Then `w` should fall by about `lr`
    in each step. The first step is longer, about `3.16·lr`, because `v` starts at 0 (lesson 3).
    How small can `g` be before `ε` stops the optimizer?
    """)
    return


@app.cell
def _():
    lr, rho = 0.01, 0.9
    changes = {}  # for exercise 2, such as {"keras": {"eps": 1e-7}}

    def make(framework, w):
        """Return RMSprop as the framework defines it, but with our lr and rho."""
        hyper = {"lr": lr, "rho": rho} | changes.get(framework, {})
        return RMSprop.as_in(framework, [("w", w)], **hyper)

    def walk(framework, g, steps=60):
        """Return w at the start and after each step: (steps + 1,)."""
        w = Tensor(np.zeros(1), requires_grad=True)
        optimizer = make(framework, w)
        path = [0.0]
        for _ in range(steps):
            loss = np.sum(g * w)  # its gradient is g
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            path.append(w.data[0])
        return np.array(path)

    return lr, make, walk


@app.cell(hide_code=True)
def _():
    g = mo.ui.slider(
        steps=[1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1],
        value=1e-5,
        label="size of the gradient g",
        show_value=True,
    )
    mo.vstack([g])
    return (g,)


@app.cell(hide_code=True)
def _(g, lr, walk):
    def draw(paths):
        figure = plotting.figure(2, 1, (6.4, 6.0))
        first, way = figure.axes
        for (name, path), dash in zip(paths.items(), ("-", "-", "--", "-", "-", "--")):
            step = (path[0] - path[1]) / lr
            first.plot(step, name, "o")
            first.annotate(f"{step:.3g}", (step, name), (8, -3), textcoords="offset points")
            way.plot(path, dash, label=name)
        first.set(xscale="log", xlim=(1e-10, 1e4))
        first.set_xticks([1e-9, 1e-6, 1e-3, 1, 1e3], ["1e-9", "1e-6", "0.001", "1", "1000"])
        first.minorticks_off()
        first.invert_yaxis()
        plotting.label(first, "length of the first step / lr", "", "The first step", legend="")
        way.set_ylim(-0.85, 0.05)
        plotting.label(way, "step", "w", "60 steps down a slope", legend="lower left")
        return figure

    draw({name: walk(name, g.value) for name in RMSprop.conventions})
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    These are the six rules. `explain()` runs the code of the optimizer and returns its equations.
    The last line names the conventions that have the same form. Their `ε` can differ.
    """)
    return


@app.cell
def _(make):
    rules = {name: make(name, Tensor(np.zeros(1))).explain() for name in RMSprop.conventions}
    text = escape("\n\n".join(f"{name}: {rule}" for name, rule in rules.items()))
    mo.Html(f"<pre style='white-space: pre-wrap'>{text}</pre>")
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Exercises

    1. Move the slider. What is the smallest `g` for which the first step of `keras` is longer than
       `0.1·lr`? Answer the same question for `torch`.
    2. For `g = 1e-5`, the first step of `torch` is `3.15·lr` long. In `changes`, choose an `eps`
       for `keras` so that its first step is equally long, up to 1 percent.
    3. (harder) Someone ran RMSprop with `lr=0.01`, and wrote down `w` and the gradients:

            w = [1.0, 0.9990004996253122, 0.9970053816910289, 0.9980026876173181,
                 0.9950232771954959, 0.9940299508397502]
            gradients = [1e-4, 2e-4, -1e-4, 3e-4, 1e-4]

        In a new cell, import `identify` from `minigrad.optimizers`, and print
        `identify(w, gradients, lr=0.01)[0]`. Copy all digits of `w`. Which of the six conventions
        was it?

    To change the code, open this page with `marimo edit`. If it shows no picture, press ▶ there.
    Solutions: `solutions/05_where_epsilon_stands.py`
    """)
    return


if __name__ == "__main__":
    app.run()
