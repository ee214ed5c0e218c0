"""Plots of a run as inline SVG: equal data, equal bytes, on a light and on a dark page.

A figure is drawn with the placeholder colours of ``_TOKENS``, which are then replaced by the
page's CSS variables, so one drawing follows the reader's theme. It knows numbers and labels,
nothing about where they come from.
"""

import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from steadyhand.contracts.errors import MissingExtraError
from steadyhand.evaluation.findings import Histogram, Span
from steadyhand.evaluation.results import Rate

try:
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter
except ImportError as error:  # pragma: no cover - the extra is installed where tests run
    raise MissingExtraError("matplotlib", "evaluation") from error

# Placeholder -> CSS variable of the report. The values occur nowhere else in an SVG of ours.
_TOKENS = {
    "#010203": "var(--ink)",
    "#010204": "var(--muted)",
    "#010205": "var(--line)",
    "#010206": "var(--blue)",
    "#010207": "var(--orange)",
    "#010208": "var(--green)",
    "#010209": "var(--red)",
    "#01020a": "var(--violet)",
    "#01020b": "var(--teal)",
    "#01020c": "var(--grey)",
}
INK, MUTED, LINE, BLUE, ORANGE, GREEN, RED, VIOLET, TEAL, GREY = _TOKENS
SERIES = (BLUE, ORANGE, TEAL, VIOLET, RED)

_STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "text.color": INK,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


@dataclass(frozen=True, slots=True)
class Line:
    """One curve.

    Args:
        label: Legend entry.
        x: Abscissae.
        y: Ordinates, equally many.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]


def curves(
    name: str, lines: Sequence[Line], x_label: str, y_label: str, *, is_log: bool = False
) -> str:
    """Draw curves over a common abscissa.

    Args:
        name: Name of the plot, unique on the page.
        lines: At least one curve.
        x_label: Label of the abscissa.
        y_label: Label of the ordinate.
        is_log: Whether the ordinate is logarithmic.

    Returns:
        An ``<svg>`` element.
    """
    with _style():
        figure, axes = _figure(4.4, 2.5)
        for line, color in zip(lines, _cycle(len(lines)), strict=True):
            axes.plot(line.x, line.y, color=color, linewidth=1.6, label=line.label)
        if is_log:
            axes.set_yscale("log")
            axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.margins(x=0.01)
        if len(lines) > 1:
            axes.legend(fontsize=8.5, labelcolor=MUTED)
        return _svg(name, figure)


def rates(name: str, rows: Sequence[tuple[str, str, Rate]]) -> str:
    """Draw success rates with their Wilson intervals, one labelled row each.

    Args:
        name: Name of the plot, unique on the page.
        rows: (label, series, rate); equal labels share a row, series differ in colour.

    Returns:
        An ``<svg>`` element.
    """
    labels = list(dict.fromkeys(label for label, _, _ in rows))
    series = list(dict.fromkeys(s for _, s, _ in rows))
    in_row = {label: [s for name, s, _ in rows if name == label] for label in labels}
    colors = dict(zip(series, _cycle(len(series)), strict=True))
    with _style():
        height = 0.85 + (0.16 + 0.15 * len(series)) * len(labels)
        figure, axes = _figure(4.6, height)
        for label, s, rate in rows:
            shift = in_row[label].index(s) - (len(in_row[label]) - 1) / 2
            y = labels.index(label) + 0.3 * shift
            low, high = 100 * rate.interval.low, 100 * rate.interval.high
            axes.plot([low, high], [y, y], color=colors[s], linewidth=2.4, alpha=0.55)
            axes.plot([100 * rate.value], [y], "o", color=colors[s], markersize=5)
        for s in series if len(series) > 1 else ():
            axes.plot([], [], "o-", color=colors[s], linewidth=2.4, markersize=5, label=s)
        axes.set_yticks(range(len(labels)), labels)
        axes.set_ylim(len(labels) - 0.45, -0.55)
        lowest = min(100 * rate.interval.low for _, _, rate in rows)
        axes.set_xlim(max(0.0, math.floor(lowest / 5) * 5 - 1), 100.8)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
        axes.set_xlabel("success [%], 95% Wilson interval")
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        if len(series) > 1:
            _legend_above(figure, axes)
        return _svg(name, figure)


def histogram(
    name: str,
    data: Histogram,
    x_label: str,
    *,
    markers: Mapping[str, float] | None = None,
    color: str = BLUE,
) -> str:
    """Draw counts per bin on a logarithmic count axis, so that the tail is visible.

    The abscissa is logarithmic too if the bins are positive and span more than a decade.

    Args:
        name: Name of the plot, unique on the page.
        data: Bins.
        x_label: Label of the abscissa with its unit.
        markers: Vertical lines by label, e.g. percentiles and the budget, in the same unit.
        color: One of this module's colours.

    Returns:
        An ``<svg>`` element.
    """
    filled = np.flatnonzero(data.counts)
    first, last = (filled[0], filled[-1]) if len(filled) else (0, len(data.counts) - 1)
    counts = np.asarray(data.counts, np.float64)[first : last + 1]
    edges = np.asarray(data.edges, np.float64)[first : last + 2]
    with _style():
        figure, axes = _figure(4.4, 2.5)
        axes.stairs(counts, edges, fill=True, color=color, alpha=0.75, baseline=0.5)
        axes.set_yscale("log")
        axes.set_ylim(0.5, max(2.0, float(counts.max(initial=1)) * 6))
        axes.yaxis.set_major_formatter(FuncFormatter(_plain))
        axes.yaxis.set_minor_formatter(NullFormatter())
        if 0 < 10 * edges[0] < edges[-1]:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(FuncFormatter(_plain))
            axes.xaxis.set_minor_formatter(NullFormatter())
        for number, (label, x) in enumerate((markers or {}).items()):
            axes.axvline(x, color=INK, linewidth=0.9, linestyle=(0, (3, 2)))
            axes.annotate(
                f"{label} ",
                (x, 0.97 - 0.1 * (number % 3)),
                xycoords=("data", "axes fraction"),
                fontsize=8,
                va="top",
                ha="right",
            )
        axes.set_xlabel(x_label)
        axes.set_ylabel("count")
        axes.grid(visible=False, axis="x")
        return _svg(name, figure)


def timeline(
    name: str, spans: Sequence[Span], lanes: Mapping[str, str], events: Mapping[str, float]
) -> str:
    """Draw what the control loop did over time, one lane per verdict, with marked events.

    Args:
        name: Name of the plot, unique on the page.
        spans: Stretches of time per lane.
        lanes: Colour per lane, in drawing order from the top.
        events: Time [s] per label, e.g. an injected fault.

    Returns:
        An ``<svg>`` element, wide: meant to scroll on a narrow screen.
    """
    rows = list(lanes)
    with _style():
        figure, axes = _figure(9.2, 0.95 + 0.3 * len(rows))
        end_s = max((span.end_s for span in spans), default=1.0)
        for row, lane in enumerate(rows):
            bars = [(s.start_s, s.end_s - s.start_s) for s in spans if s.lane == lane]
            axes.broken_barh(bars, (row - 0.36, 0.72), facecolors=lanes[lane], linewidth=0)
        for label, at_s in events.items():
            axes.axvline(at_s, color=INK, linewidth=0.9, linestyle=(0, (3, 2)))
            is_late = at_s > 0.75 * end_s
            axes.annotate(
                f"{label} " if is_late else f" {label}",
                (at_s, 1.0),
                xycoords=("data", "axes fraction"),
                fontsize=8.5,
                va="bottom",
                ha="right" if is_late else "left",
            )
        axes.set_yticks(range(len(rows)), rows)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlim(0, end_s)
        axes.set_xlabel("time [s]")
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        return _svg(name, figure)


@contextmanager
def _style() -> Iterator[None]:
    """Draw with this module's style alone, whatever the user's matplotlib settings are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def _figure(width_in: float, height_in: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width_in, height_in))
    return figure, figure.add_subplot()


def _legend_above(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    # Some 48 characters fit in a line, of which each handle takes 7.
    num_columns = max(1, min(len(labels), 48 // (max(map(len, labels)) + 7)))
    figure.legend(
        handles,
        labels,
        loc="outside upper right",
        ncols=num_columns,
        fontsize=8.5,
        labelcolor=MUTED,
    )


def _cycle(count: int) -> list[str]:
    return [SERIES[i % len(SERIES)] for i in range(count)]


def _plain(value: float, _position: int | None = None) -> str:
    return f"{value:g}"


def _svg(name: str, figure: Figure) -> str:
    """Render a figure to an inline ``<svg>`` that follows the page's colours."""
    out = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    text = out.getvalue()
    text = text[text.index("<svg") :].strip()
    # A style element inside an inline SVG would apply to the whole page; report.css has the rule.
    text = re.sub(r"<(metadata|style)\b.*?</\1>", "", text, flags=re.DOTALL)
    # Several drawings share one page: ids must be unique there.
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    for token, variable in _TOKENS.items():
        text = text.replace(token, variable)
    text = re.sub(r"'DejaVu Sans'|DejaVu Sans", "system-ui, sans-serif", text)
    return text.replace("<svg", '<svg role="img"', 1)
