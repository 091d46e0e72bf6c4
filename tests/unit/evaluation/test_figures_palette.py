import re

import pytest

from polyrec.evaluation.figures import palette

RAMPS = {
    "amount, light": palette.AMOUNT_LIGHT,
    "amount, dark": palette.AMOUNT_DARK,
    "around, light": palette.AROUND_LIGHT,
    "around, dark": palette.AROUND_DARK,
}
PAGES = {"light": (palette.LIGHT, palette.SERIES_LIGHT), "dark": (palette.DARK, palette.SERIES_DARK)}


def luminance(colour):
    return palette.contrast(colour, "#000000")


@pytest.mark.parametrize("name", RAMPS)
def test_text_on_every_step_of_a_ramp_is_readable(name):
    for colour in RAMPS[name]:
        assert palette.contrast(colour, palette.ink_on(colour)) >= 4.5, colour


@pytest.mark.parametrize("mode", PAGES)
def test_text_on_pages_and_cards_is_readable(mode):
    colours, _ = PAGES[mode]
    for text in ("ink", "soft", "accent", "warn", "good"):
        assert palette.contrast(colours[text], colours["card"]) >= 4.5, text
        assert palette.contrast(colours[text], colours["page"]) >= 4.5, text
    assert palette.contrast(colours["soft"], colours["track"]) >= 4.5
    assert palette.contrast(colours["warn"], colours["warn-back"]) >= 4.5
    assert palette.contrast(colours["good"], colours["good-back"]) >= 4.5


@pytest.mark.parametrize("mode", PAGES)
def test_marks_stand_out_from_their_card(mode):
    colours, series = PAGES[mode]
    for colour in series:
        assert palette.contrast(colour, colours["card"]) >= 3.0, colour


def test_amounts_differ_in_lightness_alone_so_that_no_hue_must_be_seen():
    light = [luminance(colour) for colour in palette.AMOUNT_LIGHT]
    dark = [luminance(colour) for colour in palette.AMOUNT_DARK]
    assert light == sorted(light, reverse=True)
    assert dark == sorted(dark)


def test_both_arms_around_the_middle_grow_alike_in_lightness():
    light = [luminance(colour) for colour in palette.AROUND_LIGHT]
    assert max(light) == light[4]
    assert light[:5] == sorted(light[:5])
    assert light[4:] == sorted(light[4:], reverse=True)


def test_the_middle_of_the_range_is_the_middle_step():
    assert [palette.step(share) for share in (-1.0, 0.0, 0.499, 0.5, 0.999, 1.0)] == [0, 0, 4, 4, 8, 8]


def test_dark_pages_get_their_own_colour_for_every_property():
    light, dark = re.search(
        r":root\{(.*?)\}@media\(prefers-color-scheme:dark\)\{:root\{(.*?)\}\}", palette.stylesheet()
    ).groups()
    names = [re.findall(r"--([\w-]+):", part) for part in (light, dark)]
    assert names[0] == names[1]
    assert f"--page:{palette.DARK['page']};" in dark
