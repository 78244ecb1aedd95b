"""Pictures of training: metrics over its steps, from the raw samples of every trial."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas

from harness.spec.models import level_name
from harness.store.attempt import read_samples, sample_names
from reports.collect import Results
from reports.declarations import CoursePicture
from reports.means import mean_of
from reports.pictures.canvas import canvas, legend_below
from reports.pictures.charts import named

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 2
BAND = 0.15


def course_table(declaration: CoursePicture, results: Results) -> pandas.DataFrame:
    """Return the samples of the trials that are drawn, a row a level, replicate and step, averaged over what else
    varies; without rows where no trial kept the table."""
    wanted = [level_name(level) for level in declaration.levels] or results.levels(declaration.by)
    found = []
    for entry in results.entries(declaration.reading):
        arm = {name: level_name(level) for name, level in entry.trial.arm.items()}
        elsewhere = any(arm.get(name) != level_name(level) for name, level in declaration.where.items())
        if elsewhere or arm.get(declaration.by) not in wanted or entry.counted is None:
            continue
        if declaration.table not in sample_names(entry.counted.folder):
            continue
        samples = read_samples(entry.counted.folder, declaration.table)
        metrics = [name for name in declaration.metrics if name in samples]
        averaged = samples.groupby("step")[metrics].mean().reset_index()
        found.append(averaged.assign(level=arm[declaration.by], replicate=entry.trial.replicate))
    if not found:
        return pandas.DataFrame(columns=["level", "replicate", "step"])
    keys = ["level", "replicate", "step"]
    return pandas.concat(found).groupby(keys, as_index=False).mean()


def draw_course(declaration: CoursePicture, results: Results) -> Figure | None:
    """Metrics over steps, a panel each: the mean over replicates and a band of its 95 % interval, a line a level."""
    import seaborn

    table = course_table(declaration, results)
    metrics = {name: label for name, label in declaration.metrics.items() if name in table}
    if table.empty or not metrics:
        return None
    levels = [level for level in results.levels(declaration.by) if level in set(table["level"])]
    rows = -(-len(metrics) // COLUMNS)
    figure, axes = canvas(7 * rows, min(COLUMNS, len(metrics)), width=12.0, share=False, rows_of_panels=rows)
    palette = seaborn.color_palette("colorblind")
    panels = [axis for line in axes for axis in line]
    for axis, (metric, label) in zip(panels, metrics.items(), strict=False):
        for index, level in enumerate(levels):
            means = {
                step: mean_of(own[metric])
                for step, own in table[table["level"] == level].groupby("step")
                if own[metric].notna().any()
            }
            drawn = {step: mean for step, mean in means.items() if mean is not None}
            colour = palette[index % len(palette)]
            middle = [mean.value for mean in drawn.values()]
            # Every second line is dashed: where two lie on each other, both are seen.
            style, name = ("-", "--")[index % 2], named(level, declaration.by, results)
            axis.plot(list(drawn), middle, style, color=colour, label=name, linewidth=2)
            low, high = [mean.low for mean in drawn.values()], [mean.high for mean in drawn.values()]
            axis.fill_between(list(drawn), low, high, color=colour, alpha=BAND, linewidth=0)
        axis.set_xlabel("step")
        axis.set_ylabel(label)
    for axis in panels[len(metrics) :]:
        axis.set_visible(False)
    replicates = table["replicate"].nunique()
    panels[0].set_title(f"means over {replicates} replicates, bands of 95 %", loc="left", fontsize=10)
    legend_below(figure, panels[0], min(4, len(levels)))
    figure.tight_layout()
    return figure
