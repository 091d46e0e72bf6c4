"""What every metric and word of a report means, for a reader who has not met them."""

from polyrec.evaluation.figures.markup import Markup, tag
from polyrec.evaluation.pages.shell import folded

WORDS = (
    ("Cell", "One scenario, one task, one set of rows it is judged on. Every number below belongs to a cell."),
    (
        "Over all impressions / given a task",
        "A task after another can be judged on every row (did the impression end in it?) or only on rows where the "
        "task before it happened (it having come that far, did it go on?). The two answer different questions; "
        "their values must not be compared with one another.",
    ),
    (
        "AUC",
        "Of a random positive and a random negative row, how often the positive one gets the higher score. "
        "0.5 is chance, 1 is perfect. It judges order alone, not the height of predictions.",
    ),
    ("GAUC", "AUC within each user's own rows, averaged by their number of rows. Users with one class are left out."),
    ("Log-loss", "Mean of -log(probability given to what happened). Lower is better; depends on the base rate."),
    (
        "Normalised entropy",
        "Log-loss divided by that of always predicting the base rate. Below 1 the model knows more than the base rate.",
    ),
    (
        "Predicted / observed (PCOC)",
        "Sum of predicted probabilities over the number of positives. 1 is right; 1.3 predicts 30 % too many.",
    ),
    (
        "Calibration error (ECE)",
        "Rows in bins of similar prediction: the mean distance between predicted and observed rate, weighted by rows.",
    ),
    ("Interval", "Where the value would fall in 95 of 100 samples like this one."),
    (
        "Pooled / mean of scenarios",
        "All rows as one heap; or the plain mean over scenarios, each the same weight.",
    ),
    ("Undefined", "The rows do not determine the value (no positives, for example). It is never shown as a number."),
)


def glossary() -> Markup:
    """The words as a folded list of definitions."""
    pairs = [tag("div", tag("dt", word), tag("dd", meaning)) for word, meaning in WORDS]
    return folded("What these words mean", tag("dl", *pairs, class_="glossary"))
