"""`polyrec recipes`."""

HELP = """Every recipe: name, family, what it does, what it needs, and its paper.

Example: polyrec recipes
"""


def run() -> None:
    """One line each."""
    from polyrec import recipes
    from polyrec.cli.files import show
    from polyrec.evaluation.text import aligned

    found = sorted((recipes.get(name) for name in recipes.names()), key=lambda one: (one.family, one.name))
    show(
        aligned(
            ["recipe", "family", "what it does", "needs", "paper"],
            [[one.name, one.family, one.summary, one.needs, one.paper] for one in found],
        )
    )
