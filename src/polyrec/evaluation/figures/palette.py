"""Colours for light and dark pages, told apart by colour-blind readers; a test holds their contrast.

Steps of a ramp are classes: `s0`..`s8` from little to much, `d0`..`d8` from below to above a middle
(blue below, orange above; never red against green). Series `c0`..`c5` are Okabe and Ito's hues.
"""

from collections.abc import Mapping, Sequence

LIGHT: Mapping[str, str] = {
    "page": "#f6f7f9",
    "card": "#ffffff",
    "ink": "#161b22",
    "soft": "#586272",
    "line": "#dfe3e8",
    "grid": "#eceff2",
    "accent": "#0f5ea8",
    "warn": "#a4490b",
    "warn-back": "#fdf3ea",
    "good": "#0b6b53",
    "good-back": "#eaf6f2",
    "track": "#e9edf1",
}
DARK: Mapping[str, str] = {
    "page": "#0e1116",
    "card": "#161b22",
    "ink": "#e7eaee",
    "soft": "#9ba6b3",
    "line": "#2c343e",
    "grid": "#222932",
    "accent": "#74b4f5",
    "warn": "#f0a567",
    "warn-back": "#2b2118",
    "good": "#5cc6a6",
    "good-back": "#14261f",
    "track": "#252d37",
}
SERIES_LIGHT = ("#0072b2", "#c1540a", "#007a5a", "#a8508a", "#8a6d00", "#5b5fc7")
SERIES_DARK = ("#5fb0ea", "#ee9a5d", "#3fc39b", "#e093c2", "#dcc04f", "#a3a6f5")
AMOUNT_LIGHT = (
    "#ebf6f8", "#bbe4f2", "#8cd1ed", "#60bce6", "#38a5dc", "#158dcd", "#0475b9", "#105ea0", "#194982",
)  # fmt: skip
AMOUNT_DARK = (
    "#0e2648", "#0b3865", "#004d81", "#00639a", "#007ab0", "#0091c2", "#17a9d2", "#47bfdf", "#71d5ea",
)  # fmt: skip
AROUND_LIGHT = (
    "#2878c0", "#5f97d0", "#8fb6df", "#c0d5eb", "#f3f3f3", "#e7ccbb", "#d7a686", "#c48151", "#af5b0b",
)  # fmt: skip
AROUND_DARK = (
    "#6ab0f6", "#588bbf", "#46688a", "#364657", "#262626", "#543f32", "#835a3f", "#b4774c", "#e79459",
)  # fmt: skip
STEPS = 9


def step(share: float) -> int:
    """The step of a ramp for a share in [0, 1]; shares outside fall on its ends.

    Example:
        >>> step(0.0), step(0.5), step(1.0), step(7.0)
        (0, 4, 8, 8)
    """
    return min(max(int(share * STEPS), 0), STEPS - 1)


def ink_on(colour: str) -> str:
    """Black or white, whichever reads better on the colour."""
    return max(("#10151c", "#ffffff"), key=lambda ink: contrast(ink, colour))


def contrast(one: str, other: str) -> float:
    """WCAG 2 contrast ratio of two `#rrggbb` colours, from 1 to 21.

    Example:
        >>> contrast("#000000", "#ffffff")
        21.0
    """
    dark, bright = sorted((_luminance(one), _luminance(other)))
    return round((bright + 0.05) / (dark + 0.05), 6)


def stylesheet() -> str:
    """The colours as CSS custom properties, for light pages and for dark ones."""
    light = _properties(LIGHT, SERIES_LIGHT, AMOUNT_LIGHT, AROUND_LIGHT)
    dark = _properties(DARK, SERIES_DARK, AMOUNT_DARK, AROUND_DARK)
    classes = "".join(
        f".{letter}{place}{{background:var(--{letter}{place});color:var(--{letter}{place}t)}}"
        for letter in "sd"
        for place in range(STEPS)
    )
    series = "".join(f".c{place}{{--c:var(--c{place})}}" for place in range(len(SERIES_LIGHT)))
    return f":root{{{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}{classes}{series}"


def _properties(named: Mapping[str, str], series: Sequence[str], amount: Sequence[str], around: Sequence[str]) -> str:
    colours = dict(named) | {f"c{place}": colour for place, colour in enumerate(series)}
    for letter, ramp in (("s", amount), ("d", around)):
        for place, colour in enumerate(ramp):
            colours |= {f"{letter}{place}": colour, f"{letter}{place}t": ink_on(colour)}
    return "".join(f"--{name}:{colour};" for name, colour in colours.items())


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
