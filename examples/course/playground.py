# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""Run optimizers on a surface, move their sliders, and show every number of one step.

    marimo run examples/course/playground.py

In the same folder, playground_runs.py computes the runs, and playground_pictures.py draws them.
"""

import marimo

app = marimo.App(width="medium", app_title="minigrad: the optimizer playground")

with app.setup:
    import marimo as mo
    from playground_pictures import name_with_color, pictures_as_html, side_by_side, step_as_html
    from playground_runs import (
        CHOICES,
        MOST_STEPS,
        PROBLEMS,
        first_steps,
        first_values,
        run_choice,
        slider_steps,
    )


@app.cell(hide_code=True)
def _():
    mo.md("""
    # The optimizer playground

    Each optimizer starts at ○ and searches the minimum ★. Move a slider: the pictures change.
    Below them, the step microscope shows every number of one step of one optimizer.
    """)
    return


@app.cell(hide_code=True)
def _():
    surface = mo.ui.dropdown([*PROBLEMS], value="quadratic")
    first_chosen = ["sgd", "sgd with momentum", "rmsprop", "adam"]
    chosen = mo.ui.multiselect([*CHOICES], value=first_chosen, max_selections=6)
    steps = mo.ui.slider(1, MOST_STEPS, value=30, show_value=True)
    parts = {"surface": surface, "two to six optimizers": chosen, "steps of each": steps}
    mo.Html(
        side_by_side(
            [f"<div>{words}</div>{part.text}" for words, part in parts.items()], least="15rem"
        )
    )
    return chosen, steps, surface


@app.cell(hide_code=True)
def _(surface):
    # Each surface begins with learning rates that suit it. All optimizers have sliders from the
    # start, so that a slider keeps its value while you choose other optimizers.
    def sliders_of(choice):
        first = first_values(surface.value, choice)
        return mo.ui.dictionary(
            {
                name: mo.ui.slider(
                    steps=slider_steps(choice, name),
                    value=value,
                    label=name,
                    show_value=True,
                )
                for name, value in first.items()
            }
        )

    sliders = mo.ui.dictionary({choice: sliders_of(choice) for choice in CHOICES})
    return (sliders,)


@app.cell(hide_code=True)
def _(chosen, sliders):
    mo.stop(len(chosen.value) < 2, mo.callout("Choose two to six optimizers.", kind="warn"))
    mo.Html(
        side_by_side(
            [
                name_with_color(i, choice)
                + "".join(slider.text for slider in sliders[choice].elements.values())
                for i, choice in enumerate(chosen.value)
            ],
            least="15rem",
        )
    )
    return


@app.cell(hide_code=True)
def _(chosen, sliders, steps, surface):
    mo.stop(len(chosen.value) < 2)
    settings = {choice: tuple(sliders.value[choice].items()) for choice in chosen.value}
    runs = {
        choice: first_steps(run_choice(surface.value, choice, settings[choice]), steps.value)
        for choice in chosen.value
    }
    return runs, settings


@app.cell(hide_code=True)
def _(runs, step, surface):
    mo.Html(pictures_as_html(surface.value, runs, step.value))
    return


@app.cell(hide_code=True)
def _(chosen):
    mo.stop(len(chosen.value) < 2)
    looked_at = mo.ui.dropdown(
        chosen.value,
        value="rmsprop" if "rmsprop" in chosen.value else chosen.value[0],
        label="optimizer",
    )
    return (looked_at,)


@app.cell(hide_code=True)
def _(looked_at, step):
    mo.vstack(
        [
            mo.md("## The step microscope"),
            mo.hstack([looked_at, step], justify="start", align="end", wrap=True, gap=1.5),
        ]
    )
    return


@app.cell(hide_code=True)
def _():
    step = mo.ui.slider(1, MOST_STEPS, value=3, label="step ◇", show_value=True)
    return (step,)


@app.cell(hide_code=True)
def _(looked_at, runs, settings, step, surface):
    mo.Html(
        step_as_html(
            surface.value,
            looked_at.value,
            settings[looked_at.value],
            runs[looked_at.value],
            step.value,
        )
    )
    return


if __name__ == "__main__":
    app.run()
