"""
Charts as inline SVG: altair says what, vl-convert draws, the page's style sheet colours.

Colours are CSS variables, so one drawing serves light and dark. Each chart is drawn for several widths, and the page
shows the one that fits, so that letters are readable on a phone. Hovering a mark shows its `label`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

Rows = Sequence[Mapping[str, Any]]
WIDE, HALF, NARROW = 1020, 500, 306  # CSS pixels; the style sheet knows them as classes w1020, w500, w306

_CONFIG = {
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "domain": False,
        "ticks": False,
        "grid": False,
        "labelColor": "var(--muted)",
        "labelFontSize": 11.5,
        "labelPadding": 6,
        "title": None,
        "gridColor": "var(--line)",
    },
    "axisQuantitative": {"grid": True, "tickCount": 4},
    "padding": 2,
}
_SHORT = "datum.value == 0 ? '0' : format(datum.value, '~s')"  # 1500 -> 1.5k
_MARK = re.compile(r'<(path|line)( aria-label="([^"]*)" role="graphics-symbol"[^>]*?)/>')
_ARIA = re.compile(r' (?:role|aria-[a-z]+|pointer-events|font-family|class)="[^"]*"')
_LONG = re.compile(r"(\d+\.\d\d)\d+")
_EMPTY = re.compile(r'<path d="[^"]*" display="none"/>|<path d="M0,0h0v0h0Z"/>')
_SIZE = re.compile(r'<svg[^>]* width="(\d+)" height="(\d+)"[^>]*>')


def daily(rows: Rows, *, value: str, mean: str | None, colour: str, alt: str, wide: bool = False) -> Markup:
    """Bars by day, or a line where there is no mean to draw over them. Rows: day (ISO), `value`, `mean`, label."""

    def build(width: int) -> Any:
        import altair

        days = altair.X(
            "day:T",
            scale=altair.Scale(type="utc"),
            axis=altair.Axis(format="%b %Y" if len(rows) > 120 else "%-d %b", tickCount=max(4, width // 110)),
        )
        form = altair.Axis(format=".0%") if mean is None else altair.Axis(labelExpr=_SHORT)
        base = altair.Chart(altair.InlineData(values=[dict(row) for row in rows]))
        if mean is None:
            line = base.mark_line(stroke=colour, strokeWidth=2.5).encode(
                days, altair.Y(f"{value}:Q", axis=form, scale=altair.Scale(zero=False, nice=True))
            )
            dots = base.mark_circle(opacity=0, size=60).encode(
                days, altair.Y(f"{value}:Q"), description=altair.Description("label:N")
            )
            return altair.layer(line, dots).properties(width=width, height=200)
        thickness = max(1.0, min(14.0, 0.72 * (width - 50) / max(len(rows), 1)))
        bars = base.mark_bar(fill=colour, opacity=0.38, width=thickness).encode(
            days, altair.Y(f"{value}:Q", axis=form), description=altair.Description("label:N")
        )
        line = base.mark_line(stroke=colour, strokeWidth=2.5).encode(days, altair.Y(f"{mean}:Q"))
        return altair.layer(bars, line).properties(width=width, height=240 if width == WIDE else 200)

    return _draw(build, (WIDE, HALF, NARROW) if wide else (HALF, NARROW), alt)


def rfm_map(rows: Rows, colours: Mapping[str, str], *, alt: str) -> Markup:
    """
    The map of all 125 codes: recency from left to right, frequency upwards, money within each block.

    Rows: recency, frequency, monetary (1 to 5), segment, customers, label. A dot's area is its number of customers.
    """
    placed = [
        {
            **row,
            "left": (row["recency"] - 1) * 5.6 + row["monetary"] - 1,
            "right": (row["recency"] - 1) * 5.6 + row["monetary"] - 0.06,
            "middle": (row["recency"] - 1) * 5.6 + row["monetary"] - 0.53,
            "low": row["frequency"] - 0.96,
            "high": row["frequency"] - 0.04,
            "height": row["frequency"] - 0.5,
        }
        for row in rows
    ]
    most = max((row["customers"] for row in rows), default=0)

    def build(width: int) -> Any:
        import altair

        across = altair.Axis(
            values=[2.5, 8.1, 13.7, 19.3, 24.9],
            grid=False,
            tickCount=5,
            labelOverlap=False,
            labelExpr="['1 long ago', '2', '3', '4', '5 just now'][round((datum.value - 2.5) / 5.6)]",
        )
        upwards = altair.Axis(
            values=[0.5, 1.5, 2.5, 3.5, 4.5],
            grid=False,
            tickCount=5,
            labelOverlap=False,
            minExtent=58,
            labelExpr="['1 seldom', '2', '3', '4', '5 often'][round(datum.value - 0.5)]",
        )
        x_scale, y_scale = altair.Scale(domain=[0, 27.4], nice=False), altair.Scale(domain=[0, 5], nice=False)
        hue = _hue("segment", colours)
        base = altair.Chart(altair.InlineData(values=placed))
        cells = base.mark_rect(opacity=0.3, cornerRadius=2).encode(
            altair.X("left:Q", scale=x_scale, axis=across),
            altair.Y("low:Q", scale=y_scale, axis=upwards),
            x2=altair.X2("right:Q"),
            y2=altair.Y2("high:Q"),
            color=hue,
            description=altair.Description("label:N"),
        )
        radius = (width - 70) / 27.4 / 2
        dots = (
            base.transform_filter("datum.customers > 0")
            .mark_circle(opacity=1)
            .encode(
                altair.X("middle:Q", axis=across),
                altair.Y("height:Q", axis=upwards),
                color=hue,
                size=altair.Size(
                    "customers:Q",
                    scale=altair.Scale(domain=[0, max(most, 1)], range=[0, 3.1 * (1.5 * radius) ** 2]),
                    legend=None,
                ),
                description=altair.Description("label:N"),
            )
        )
        return altair.layer(cells, dots).properties(width=width, height=390 if width > NARROW else 290)

    return _draw(build, (HALF, NARROW), alt)


def columns(rows: Rows, *, value: str, colours: Mapping[str, str], alt: str) -> Markup:
    """Stacked columns over shares from 0 to 1. Rows: low, high (the bin), group, `value`, label."""
    heights: dict[float, float] = {}
    stacked = []
    for row in sorted(rows, key=lambda row: list(colours).index(row["group"])):
        bottom = heights.get(row["low"], 0.0)
        heights[row["low"]] = bottom + row[value]
        edges = {"left": row["low"] + 0.003, "right": row["high"] - 0.003, "bottom": bottom, "top": bottom + row[value]}
        stacked.append({**row, **edges})

    def build(width: int) -> Any:
        import altair

        shares = altair.Axis(format=".0%", grid=False, tickCount=5)
        base = altair.Chart(altair.InlineData(values=stacked))
        return (
            base.mark_rect(cornerRadius=1)
            .encode(
                altair.X("left:Q", scale=altair.Scale(domain=[0, 1]), axis=shares),
                altair.Y("bottom:Q", axis=altair.Axis(labelExpr=_SHORT)),
                x2=altair.X2("right:Q"),
                y2=altair.Y2("top:Q"),
                color=_hue("group", colours),
                description=altair.Description("label:N"),
            )
            .properties(width=width, height=190)
        )

    return _draw(build, (HALF, NARROW), alt)


def intervals(rows: Rows, colours: Mapping[str, str], *, alt: str) -> Markup:
    """Shares with their 95 % intervals, one line each. Rows: name (unique), group, share, low, high, label."""
    names = [row["name"] for row in rows]

    def build(width: int) -> Any:
        import altair

        base = altair.Chart(altair.InlineData(values=[dict(row) for row in rows]))
        place = altair.Y("name:N", sort=names, axis=altair.Axis(labelLimit=130, minExtent=66))
        hue = _hue("group", colours)
        shares = altair.Axis(format=".0%")
        spans = base.mark_rule(strokeWidth=3, opacity=0.45).encode(
            altair.X("low:Q", axis=shares),
            place,
            x2=altair.X2("high:Q"),
            color=hue,
            description=altair.Description("label:N"),
        )
        dots = base.mark_circle(size=110, opacity=1).encode(
            altair.X("share:Q"), place, color=hue, description=altair.Description("label:N")
        )
        return altair.layer(spans, dots).properties(width=width, height=36 + 34 * len(rows))

    return _draw(build, (HALF, NARROW), alt)


def _hue(field: str, colours: Mapping[str, str]) -> Any:
    import altair

    scale = altair.Scale(domain=list(colours), range=list(colours.values()))
    return altair.Color(f"{field}:N", scale=scale, legend=None)


def _draw(build: Callable[[int], Any], widths: tuple[int, ...], alt: str) -> Markup:
    from altair.utils.schemapi import debug_mode

    with debug_mode(arg=False):  # checking our own charts against the schema takes as long as drawing them
        drawings = Markup("").join(_svg(build(width), width, alt) for width in widths)
    return Markup('<div class="drawing drawing-{}">{}</div>').format(len(widths), drawings)


def _svg(chart: Any, width: int, alt: str) -> Markup:
    import vl_convert

    spec = chart.to_dict(validate=False) | {"config": _CONFIG, "autosize": {"type": "fit", "contains": "padding"}}
    drawn = vl_convert.vegalite_to_svg(spec, allowed_base_urls=[])
    drawn = _MARK.sub(r"<\1\2><title>\3</title></\1>", drawn)
    drawn = _EMPTY.sub("", _LONG.sub(r"\1", _ARIA.sub("", drawn)))

    def head(size: re.Match[str]) -> str:
        return f'<svg class="w{width}" viewBox="0 0 {size[1]} {size[2]}" role="img" aria-label="{escape(alt)}">'

    # Vega escapes what it draws; the label is escaped here.
    return Markup(_SIZE.sub(head, drawn, count=1))  # noqa: S704
