"""Draws docs/images/worlds/*.svg: what each preset of `polyrec simulate` plants.

Run from the repository's root: `.venv/bin/python benchmarks/draw_worlds.py`
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

from polyrec.data.simulate import PRESETS, describe, simulate

OUT = Path(__file__).parents[1] / "docs" / "images" / "worlds"
ROWS = 200_000
INK, BLUE, GOLD, RED, GREY = "#333", "#3b6fb6", "#d9a441", "#c2543d", "#bbb"


def text(x: float, y: float, words: str, *, anchor: str = "middle", size: int = 11, fill: str = INK) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{fill}">{words}</text>'


def box(x: float, y: float, wide: float, high: float, fill: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{high:.1f}" fill="{fill}"/>'


def shade(likeness: float) -> str:
    """White at 0, blue at 1, red at -1."""
    end = (59, 111, 182) if likeness > 0 else (194, 84, 61)
    part = min(abs(likeness), 1.0)
    return "#" + "".join(f"{round(255 + (one - 255) * part):02x}" for one in end)


def bars(x: float, names: list[str], values: list[float], title: str, fills: list[str]) -> list[str]:
    """Upright bars of a panel 210 wide, each with its value in percent."""
    step, top = 200 / len(names), max(values)
    drawn = [text(x + 100, 16, title, size=12)]
    for place, (name, value, fill) in enumerate(zip(names, values, fills, strict=True)):
        high = 150 * value / top
        middle = x + step * (place + 0.5)
        drawn += [box(middle - step * 0.36, 190 - high, step * 0.72, max(high, 1), fill)]
        drawn += [text(middle, 184 - high, f"{100 * value:.1f} %", size=9), text(middle, 205, name, size=10)]
    return drawn


def relations(x: float, names: list[str], likeness: np.ndarray) -> list[str]:
    side = 168 / len(names)
    drawn = [text(x + 100, 16, "likeness of preferences", size=12)]
    for row, name in enumerate(names):
        drawn.append(text(x + 22, 28 + side * (row + 0.62), name, anchor="end", size=10))
        drawn.append(text(x + 28 + side * (row + 0.5), 210, name, size=10))
        for column in range(len(names)):
            value = likeness[row, column]
            drawn.append(box(x + 28 + side * column, 28 + side * row, side - 1, side - 1, shade(value)))
            dark = "#fff" if abs(value) > 0.6 else INK
            middle = x + 28 + side * (column + 0.5)
            drawn.append(text(middle, 28 + side * (row + 0.62), f"{value:.2f}", size=9, fill=dark))
    return drawn


def routes(x: float, rows: pl.DataFrame) -> list[str]:
    """How much a buy on unclicked rows is overstated, and what it truly is."""
    unclicked, clicked = rows.filter(pl.col("click") == 0), rows.filter(pl.col("click") == 1)
    values = {
        "clicked": clicked["buy"].mean(),
        "model": unclicked["p_buy_given_click"].mean(),
        "if clicked": unclicked["p_buy_do_click_given_no_click"].mean(),
        "no click": unclicked["p_buy_given_no_click"].mean(),
    }
    return bars(x, list(values), list(values.values()), "buys: clicked rows | unclicked rows", [GREY, GOLD, BLUE, RED])


def flows(x: float, told: dict) -> list[str]:
    """Share of each cell's preferences that own flows carry: scenario's and the cell's alone."""
    drawn = [text(x + 100, 16, "own share: scenario + cell", size=12)]
    own, cell = told["flows"]["scenario,shared"], told["flows"]["scenario,task"]
    for row, scenario in enumerate(told["scenarios"]):
        drawn.append(text(x + 22, 52 + 34 * row, scenario, anchor="end", size=10))
        for column, task in enumerate(own[scenario]):
            parts = own[scenario][task], cell[scenario][task]
            at = x + 28 + 58 * column
            drawn.append(box(at, 30 + 34 * row, 56, 32, shade(sum(parts))))
            drawn.append(text(at + 28, 51 + 34 * row, f"{parts[0]:.2f} + {parts[1]:.2f}", size=9))
            drawn += [text(at + 28, 214, task, size=10)] if row == 0 else []
    return drawn


def turning(x: float, told: dict) -> list[str]:
    """How far a day's preferences still agree with those of the first."""
    days = [round(share * (told["days"] - 1)) for share in (0, 0.25, 0.5, 0.75, 1)]
    alike = [max(float(np.cos(told["options"]["turn"] * day / (told["days"] - 1))), 0.0) for day in days]
    return bars(x, [f"day {day}" for day in days], alike, "likeness to the first day", [BLUE] * len(days))


def draw(name: str) -> None:
    with TemporaryDirectory() as folder:
        out = Path(folder) / name
        made = simulate(out, rows=ROWS, preset=name)
        told, rows = describe(out), pl.read_parquet(made.truth)
    names = told["scenarios"]
    likeness = np.mean([np.array(matrix) for matrix in told["likeness"].values()], axis=0)
    parts = [
        *bars(0, names, told["sizes"], "share of rows", [BLUE] * len(names)),
        *relations(220, names, likeness),
        *(flows(450, told) if name == "flows" else turning(450, told) if name == "drift" else routes(450, rows)),
    ]
    head = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 660 220" width="660" font-family="sans-serif">'
    OUT.mkdir(parents=True, exist_ok=True)
    OUT.joinpath(f"{name}.svg").write_text("\n".join([head, box(0, 0, 660, 220, "#fff"), *parts, "</svg>\n"]))


if __name__ == "__main__":
    for preset in PRESETS:
        draw(preset)
