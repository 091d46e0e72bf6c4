"""The contract every model keeps, as checks that say in a sentence what is broken.

from polyrec.testing import check
check("mmoe")                      # a registered model
check(MyModel)                     # anything that builds a model from (layout, heads)
check(MyModel, only=["scoring_changes_nothing"])
"""

from collections.abc import Callable, Mapping, Sequence

from polyrec.errors import ConfigError, unknown
from polyrec.testing import exporting, learning, scoring
from polyrec.testing.subject import Factory, Subject

CHECKS: Mapping[str, Callable[[Subject], None]] = {
    one.__name__: one
    for one in (
        scoring.one_logit_per_row_and_head,
        scoring.same_score_in_any_company_and_order,
        scoring.scoring_changes_nothing,
        scoring.state_round_trip_is_exact,
        scoring.unknown_scenario_is_scored,
        scoring.empty_sequences_are_scored,
        scoring.ids_stay_whole,
        scoring.unknown_option_is_refused,
        learning.every_parameter_learns,
        learning.models_share_nothing,
        learning.training_lowers_the_loss,
        learning.trains_in_half_precision,
        learning.scenario_parameters_touch_only_their_rows,
        learning.work_per_row_is_flat_in_scenarios,
        exporting.exports_with_dynamic_rows,
    )
}


def check(model: str | Factory, only: Sequence[str] = ()) -> None:
    """Hold a model to the contract.

    Args:
        model: a registered name, or a callable `(layout, heads) -> module`.
        only: names of checks; all when empty.

    Raises:
        AssertionError: the model breaks a rule; the message has the rule's name and what was seen.
        ConfigError: no check, or no model, of that name.

    Example:
        >>> check("pooled", only=["one_logit_per_row_and_head", "scoring_changes_nothing"])
    """
    subject = Subject.of(model)
    for name in only or CHECKS:
        if name not in CHECKS:
            raise ConfigError(unknown("check", name, CHECKS, "in the contract"))
        try:
            CHECKS[name](subject)
        except AssertionError as reason:
            raise AssertionError(f"{subject.name} breaks {name}: {reason}") from reason
