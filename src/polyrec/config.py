"""run.toml: what to train, on which rows, for how long. Paths are relative to the file."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Len, Lt
from pydantic import AllowInfNan

from polyrec.atomic import is_address
from polyrec.declare import STRICT, RefusedError, parse, read_toml
from polyrec.errors import ConfigError

Share = Annotated[float, Gt(0.0), Lt(1.0)]
FINITE = AllowInfNan(False)
Positive = Annotated[float, Gt(0), FINITE]
NotNegative = Annotated[float, Ge(0), FINITE]
Weights = Annotated[tuple[NotNegative, ...], Len(1)]
SplitBy = Literal["time", "user", "random"]
Moment = int | float | datetime | date | str


@dataclass(frozen=True, slots=True)
class Split:
    """How one log becomes training, validation and test rows.

    By time, either shares of the rows in time order, or `valid_from` / `test_from`: the first moment (in
    the time column's own units) of validation and of test. By user, no user is in two of them.
    """

    __pydantic_config__ = STRICT
    by: SplitBy | None = None  # default: time where the schema has it, else random
    valid: Share = 0.1
    test: Share = 0.1
    valid_from: Moment | None = None
    test_from: Moment | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        problems = []
        if (self.valid_from is None) != (self.test_from is None):
            problems.append("split: valid_from and test_from go together. Give both, or shares valid and test.")
        if self.valid_from is not None and self.by not in (None, "time"):
            problems.append(f"split: valid_from is for by = 'time', not {self.by!r}.")
        if self.valid_from is None and self.valid + self.test >= 1.0:
            problems.append(f"split: valid + test = {self.valid + self.test}: nothing is left to train on.")
        _refuse(problems)


@dataclass(frozen=True, slots=True)
class DataConfig:
    """Where the rows are: `log` with a split, or `train` with `valid` and `test`."""

    __pydantic_config__ = STRICT
    schema: str
    log: tuple[str, ...] = ()
    train: tuple[str, ...] = ()
    valid: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    split: Split | None = None
    shuffle_rows: Annotated[int, Ge(1)] = 262_144  # rows held and shuffled at a time
    prefetch: Annotated[int, Ge(0)] = 1  # windows encoded ahead of training
    mixed: Annotated[int, Ge(1)] = 8  # row groups read in turn; several processes each read their own of them

    def __post_init__(self) -> None:
        problems = []
        if bool(self.log) == bool(self.train):
            problems.append("[data] needs either log = [...] (with a split) or train = [...] with valid and test.")
        if self.train and not self.valid:
            problems.append("[data] train = [...] needs valid = [...] too: early stopping must not look at test rows.")
        if self.train and self.split is not None:
            problems.append("[data] split is for log = [...]; train, valid and test are split already.")
        if is_address(self.schema):
            problems.append(f"[data] schema = {self.schema!r} is an address: only rows are read by one. Copy it here.")
        _refuse(problems)


BalancerName = Literal["fixed", "uncertainty", "gradnorm", "pcgrad", "dwa", "mgda", "cagrad", "famo", "nash_mtl"]


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """How a stage is trained; recipes may set other defaults."""

    __pydantic_config__ = STRICT
    epochs: Annotated[int, Ge(1)] = 3
    batch_size: Annotated[int, Ge(1)] = 4096
    lr: Positive = 1e-3  # Adam, dense parameters
    table_lr: Positive = 0.01  # row-wise Adagrad, embedding tables
    tables: Literal["sparse", "dense"] = "sparse"  # dense: Adam with lr over whole tables (paper parity)
    weight_decay: NotNegative = 0.0  # L2 on dense parameters
    table_decay: NotNegative = 0.0  # L2 on the touched rows of tables
    lazy: bool = False  # Adam moves a scenario's own weights with batches that it has rows in alone
    lr_ratios: dict[str, Positive] = field(default_factory=dict)  # times lr, by pattern of names
    no_decay: tuple[str, ...] = ()  # patterns of parameters without weight_decay
    lr_decay: Literal["none", "linear", "cosine"] = "none"  # to 0 over the planned steps
    warmup: Annotated[int, Ge(0)] = 0  # steps
    clip: Positive | None = None  # norm of the dense gradient
    average: Annotated[int, Ge(0)] = 0  # steps over which weights are averaged for validation and use; 0: not
    evaluations: Annotated[int, Ge(1)] = 2  # validations in an epoch
    patience: Annotated[int, Ge(1)] = 3  # validations without a better one before stopping
    metric: Literal["auc", "log_loss", "recall"] = "auc"  # mean over validation cells; recall: for two towers
    balancer: BalancerName | None = None
    seed: Annotated[int, Ge(0)] = 0
    device: str = "cpu"
    precision: Literal["float32", "bf16"] = "float32"  # of the network's products; all else stays float32
    threads: Annotated[int, Ge(1)] | None = None
    checkpoint_minutes: Positive = 5.0
    checkpoint_steps: Annotated[int, Ge(1)] | None = None  # beside the minutes: every so many steps
    mask_ids: Annotated[float, Ge(0), Lt(1)] = 0.0  # share of ids shown as out of vocabulary in training
    shard_rows: Annotated[int, Ge(1)] | None = None  # of several processes, each holds its part of tables of so many

    def __post_init__(self) -> None:
        if self.shard_rows is not None and self.tables == "dense":
            _refuse(["shard_rows is for tables = 'sparse': Adam keeps every row. Leave one of the two out."])


@dataclass(frozen=True, slots=True)
class RetrievalConfig:
    """How recipes of two towers find their rows and are judged."""

    __pydantic_config__ = STRICT
    task: str | None = None  # whose label makes a row a positive; the schema's first
    ks: Annotated[tuple[Annotated[int, Ge(1)], ...], Len(1)] = (20, 50, 100)  # cut-offs of the report
    at: Annotated[int, Ge(1)] = 50  # cut-off of the recall that training stops on
    exclude: Literal["none", "positives", "shown"] = "none"  # items of a user's training rows that are not to be found
    power: Annotated[float, Ge(0), Le(1)] = 1.0  # batches of a scenario of n positives in proportion to n^power
    mask_id: Annotated[float, Ge(0), Le(1)] = 0.5  # probability that a pair's id is hidden in one of its views


@dataclass(frozen=True, slots=True)
class TransferConfig:
    """Which scenario a transfer recipe is for, and how rows of the others are chosen and weighed."""

    __pydantic_config__ = STRICT
    target: str
    teacher: str | None = None  # folder of a bundle that is the teacher; without: one is trained first
    period: Literal["hour", "day", "week"] | Positive = "day"  # or a number in the time column's units
    window: Annotated[int, Ge(1)] | None = None  # last periods whose interactions and candidates are looked at; all
    ratio: Positive = 10.0  # candidates for each row of the target
    graph: bool = True  # candidates are what interactions connect with the target; without: all other rows
    adaptation: bool = True  # candidates weigh by how much they look like the target's rows; without: alike
    relation: bool = True  # and by how much of the target their scenario's preferences explain
    held: Annotated[float, Ge(0), Lt(1)] = 0.25  # share of the target's users that the teacher is not shown
    clip: Positive = 5.0  # bound of a weight
    folds: Annotated[int, Ge(2)] = 5  # of the classifier behind the weights
    beta: NotNegative | Literal["rows"] | Weights = 1.0  # all candidates against the target's rows; several: tuned
    alpha: NotNegative | Weights = 0.1  # weight of the distillation; 0: none; several: tuned
    adversary: NotNegative = 0.1  # of `dann`: strength of its domain classifier
    temperature: Positive = 1.0  # of its rows' weights
    adaptive: bool = True  # distillation weighs rows by whether the teacher is right
    margin: float = 2.0  # standard errors by which another ending than the last one must be better to be kept
    parts: Annotated[int, Ge(1)] = 1  # into which the graph is split by user, on disk; for more edges than memory holds


@dataclass(frozen=True, slots=True)
class RunConfig:
    """One run.toml. `model`, `objective`, `balancer` and `transfer` are checked by who reads them."""

    __pydantic_config__ = STRICT
    recipe: str
    data: DataConfig
    model: dict[str, Any] = field(default_factory=dict)
    objective: dict[str, Any] = field(default_factory=dict)
    balancer: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)  # over the recipe's defaults, in every stage
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)  # over `training`, by stage
    transfer: dict[str, Any] = field(default_factory=dict)
    retrieval: dict[str, Any] = field(default_factory=dict)  # of recipes with two towers

    @classmethod
    def load(cls, path: str | Path, settings: Mapping[str, Any] | None = None) -> "RunConfig":
        """Read a run.toml, apply `a.b = value` settings, resolve paths against the file's folder."""
        path = Path(path)
        values = read_toml(path)
        for key, value in (settings or {}).items():
            set_option(values, key, value)
        return parse(cls, values, str(path)).rooted(path.resolve().parent)

    def rooted(self, folder: Path) -> "RunConfig":
        """The same run with absolute paths."""
        data = self.data
        paths: dict[str, Any] = {name: tuple(_rooted(one, folder) for one in getattr(data, name)) for name in _PATHS}
        teacher = self.transfer.get("teacher")
        transfer = {**self.transfer, "teacher": str(folder / teacher)} if isinstance(teacher, str) else self.transfer
        return replace(self, data=replace(data, schema=str(folder / data.schema), **paths), transfer=transfer)

    def to_dict(self) -> dict[str, Any]:
        """Plain values without those that are empty; a model's empty list stays, since no layers is not the default."""
        plain: dict[str, Any] = _without_empty(asdict(self))
        none: dict[str, Any] = {key: [] for key, one in self.model.items() if one == ()}
        return {**plain, "model": {**plain.get("model", {}), **none}} if none else plain


def _rooted(path: str, folder: Path) -> str:
    return path if is_address(path) else str(folder / path)


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise RefusedError(problems)


_PATHS = ("log", "train", "valid", "test")


def read_setting(text: str) -> tuple[str, Any]:
    """`a.b=value` of the command line: the value is TOML where it parses as TOML, else a string.

    Example:
        >>> read_setting("training.lr=3e-4"), read_setting("model.towers=cell")
        (('training.lr', 0.0003), ('model.towers', 'cell'))
    """
    import tomllib

    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {text!r} is not a setting. Write it as a.b=value, for example training.lr=3e-4.")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value


def set_option(values: dict[str, Any], key: str, value: Any) -> None:
    """Set `a.b` in nested tables, making those that are missing."""
    *path, last = key.split(".")
    at = values
    for part in path:
        at = at.setdefault(part, {})
        if not isinstance(at, dict):
            raise ConfigError(f"--set {key}: {part!r} is a value, not a table, in the run file.")
    at[last] = value


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_empty(one) for key, one in value.items() if one not in (None, {}, ())}
    return [_without_empty(one) for one in value] if isinstance(value, (list, tuple)) else value
