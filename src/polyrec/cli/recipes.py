"""`polyrec recipes`."""

HELP = """Every recipe: name, family, what it does, what it needs, and its paper.

Example: polyrec recipes
"""


def run() -> None:
    """One line each, by family."""
    from polyrec import recipes
    from polyrec.cli.files import show

    found = sorted((recipes.get(name) for name in recipes.names()), key=lambda one: (one.family, one.name))
    wide = max(len(one.name) for one in found)
    for place, one in enumerate(found):
        if place == 0 or found[place - 1].family != one.family:
            show(f"{'' if place == 0 else chr(10)}{one.family}")
        show(f"  {one.name:<{wide}}  {one.summary}. Needs {one.needs}. ({one.paper})")
