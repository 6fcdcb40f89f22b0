# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""Lesson 7: write an optimizer, see its path, and let the grader find the mistakes."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="7 · An optimizer of your own")

with app.setup:
    import tempfile
    from html import escape
    from inspect import cleandoc
    from pathlib import Path

    import marimo as mo
    import numpy as np

    from minigrad import Tensor, plotting
    from minigrad.optimizers import get, register
    from minigrad.optimizers.tools.grade import Report, grade, skeleton


@app.cell(hide_code=True)
def _():
    mo.md("""
    # 7 · An optimizer of your own

    **Question.** How do you write an optimizer, and how do you know that it is right?

    An optimizer is one function. It gets the gradient `g` and returns the direction `u`. minigrad
    then computes `w ← w − lr·u`. The function keeps what it must remember in the dict `slots`. Each
    parameter has its own `slots`, which are empty before the first step.

    These are the equations of RMSprop:

        v ← ρ·v + (1 − ρ)·g²
        u = g / (√v + ε)
        v starts at 0

    The function in the box should compute them, but it has a mistake. Change the function and press
    **Grade**. The grader runs it and compares it with minigrad's RMSprop.
    """)
    return


@app.cell
def _():
    task, variant = "rmsprop", None  # change this line in exercises 2 and 3
    mistaken = '''
        import numpy as np

        def rmsprop(g, slots, *, rho=0.9, eps=1e-8):
            v = slots.get("v", np.zeros_like(g))
            v = rho * v + g**2
            slots["v"] = v
            return g / (np.sqrt(v) + eps)
    '''
    is_first = (task, variant) == ("rmsprop", None)
    source = cleandoc(mistaken) if is_first else skeleton(task, variant)
    return source, task, variant


@app.cell(hide_code=True)
def _(source):
    editor = mo.ui.code_editor(source, language="python").form(submit_button_label="Grade")
    mo.vstack([editor])
    return (editor,)


@app.cell(hide_code=True)
def _(editor, source, task, variant):
    code, report = editor.value or source, "The grader waits: press Grade."
    if editor.value:  # None before the first press
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"{task}.py"
            file.write_text(code, encoding="utf-8")
            report = grade(file, task, variant)  # runs it in a process of its own
        report.file = "your function"
    mo.Html(f"<pre style='white-space: pre-wrap'>{escape(str(report))}</pre>")
    return code, report


@app.cell
def _(code, report, task):
    def valley(w0, w1):
        return 0.1 * w0**2 + 2 * w1**2

    def path(rule, lr, steps=20):
        """Return w at the start and after each step: (steps + 1, 2)."""
        w = Tensor(np.array([-5.0, -2.0]), requires_grad=True)
        optimizer = get(rule, [w], lr=lr)
        points = [w.data.copy()]
        for _ in range(steps):
            loss = valley(w[0], w[1])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            points.append(w.data.copy())
        return np.array(points)

    rules = {f"minigrad's {task}": task}
    if isinstance(report, Report) and report.scores[0][1]:  # it ran and returned arrays
        namespace = {"__name__": "submission"}
        exec(code, namespace)
        rules["yours"] = register("yours", override=True)(namespace[task])
    return path, rules, valley


@app.cell(hide_code=True)
def _():
    lr = mo.ui.slider(0.05, 1, 0.05, value=0.4, label="learning rate lr", show_value=True)
    mo.vstack([lr])
    return (lr,)


@app.cell(hide_code=True)
def _(lr, path, rules, valley):
    def draw(paths):
        figure = plotting.figure(1, 1, (8.0, 4.2))
        (ax,) = figure.axes
        w0, w1 = np.meshgrid(np.linspace(-5.5, 2.5, 80), np.linspace(-2.6, 2.6, 80))
        style = {"colors": plotting.INK, "linewidths": 0.6, "alpha": 0.6}
        ax.contour(w0, w1, valley(w0, w1), np.linspace(0.2, 2, 10) ** 4, **style)
        ax.plot(0, 0, "*", color=plotting.INK, ms=11)
        for (name, points), style, width in zip(paths.items(), ("-", ".--"), (4, 1.5)):
            ax.plot(*points.T, style, linewidth=width, label=name)
        ax.set(xlim=(-5.5, 2.5), ylim=(-2.6, 2.6))
        title = "20 steps in a valley; the star is the minimum"
        plotting.label(ax, "w[0]", "w[1]", title, legend="below")
        return figure

    draw({name: path(rule, lr.value) for name, rule in rules.items()})
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    If your function runs, the picture shows its path and the path of minigrad's optimizer.

    ## Exercises

    1. Fix the function. It should get all points, and the two paths should be the same.
    2. Write a variant: in the cell above the box, set `task, variant = "rmsprop", "7"`, or another
       number. The box then shows the equations of your variant. Fill in the function and press
       **Grade**; you do not need the command in the box. The picture still shows the usual rule, so
       the paths may differ.
    3. (harder) Write Adam: set `task, variant = "adam", None`. It keeps two arrays in `slots`.

    To change the code, open this page with `marimo edit`. If it shows no picture, press ▶ there.
    Solutions: `solutions/07_your_own_optimizer.py`
    """)
    return


if __name__ == "__main__":
    app.run()
