"""A picture of the ratios: how many times faster than the standard library each arm is, row by row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.results import Outcome

COLOURS = {"triga": "#c0392b", "best peer": "#2c7fb8"}


def draw(outcomes: Sequence[Outcome], file: Path) -> None:
    """Writes the picture in the format that the file's suffix names. RuntimeError without matplotlib."""
    try:
        import matplotlib
        import matplotlib.patches
        from matplotlib import pyplot
    except ImportError:
        raise RuntimeError("the plot needs matplotlib: pip install 'triga[bench]'") from None
    matplotlib.use("Agg")

    shown = [each for each in reversed(outcomes) if each.has("stdlib") and each.ratio("stdlib")]
    figure, axes = pyplot.subplots(figsize=(9, 1 + 0.32 * len(shown)))
    for at, each in enumerate(shown):
        base, peer = each.arms["stdlib"].median, each.best_peer()
        axes.barh(at + 0.2, base / each.arms["triga"].median, height=0.36, color=COLOURS["triga"])
        if peer is not None:
            speed = base / each.arms[peer].median
            axes.barh(at - 0.2, speed, height=0.36, color=COLOURS["best peer"])
            axes.text(speed, at - 0.2, f" {peer}", va="center", fontsize=6)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_yticks(range(len(shown)), [f"{each.row.group}: {each.row.title}" for each in shown], fontsize=7)
    axes.set_xlabel("times faster than the standard library (median, logarithmic)")
    axes.legend(handles=[matplotlib.patches.Patch(color=colour, label=name) for name, colour in COLOURS.items()])
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)
