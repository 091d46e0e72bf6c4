"""`polyrec recipes`."""

from rich.console import Console
from rich.table import Table

HELP = """Every recipe: name, family, what it does, what it needs, and its paper.

Example: polyrec recipes
"""


def run() -> None:
    """Print the table."""
    from polyrec import recipes

    table = Table("recipe", "family", "what it does", "needs", "paper", box=None, pad_edge=False)
    for name in recipes.names():
        one = recipes.get(name)
        table.add_row(one.name, one.family, one.summary, one.needs, one.paper)
    Console(soft_wrap=False).print(table)
