"""What a column's name gives away: its words, and the parts that such words play."""

import re

USER = ("user", "household", "customer", "member", "visitor", "client", "shopper", "buyer", "viewer", "account",
        "uid", "person", "subscriber", "device", "cookie", "guest", "uuid")  # fmt: skip
ITEM = ("item", "product", "sku", "article", "goods", "video", "movie", "song", "track", "book", "ad", "creative",
        "listing", "offer", "asin", "isbn", "content", "document", "news", "iid", "banner",
        "upc")  # fmt: skip
SCENARIO = ("scenario", "domain", "scene", "tab", "surface", "placement", "position", "slot", "page", "app", "channel",
            "site", "market", "hotel", "zone", "feed", "platform", "country", "region", "segment", "store")  # fmt: skip
TIME = ("timestamp", "time", "datetime", "ts", "date", "day", "created", "week", "epoch", "ms", "at")
GROUP = ("request", "session", "impression", "basket", "query", "slate", "pageview", "search", "trip", "cart", "visit")
LABEL = ("label", "target", "click", "clicked", "clk", "buy", "bought", "purchase", "purchased", "order", "ordered",
         "conversion", "converted", "convert", "cvr", "cart", "pay", "paid", "payment", "like", "liked", "follow",
         "followed", "share", "shared", "comment", "commented", "favorite", "install", "installed", "download",
         "signup", "subscribe", "rebuy", "repurchase", "churn", "churned", "kept", "parking", "cancelled",
         "canceled", "booked", "booking", "watched", "finished", "completed", "read", "opened", "redeemed", "returned",
         "refund", "forward", "forwarded", "hate", "rented", "sold", "retained", "success", "outcome")  # fmt: skip
# Funnel order of such words: what tends to come first. Others stand where their counts put them.
STEP = {"impression": 0, "view": 0, "click": 1, "clicked": 1, "clk": 1, "cart": 2, "favorite": 2, "order": 3,
        "ordered": 3, "buy": 3, "bought": 3, "purchase": 3, "purchased": 3, "conversion": 3, "converted": 3, "pay": 4,
        "paid": 4, "rebuy": 5, "repurchase": 5, "returned": 5, "refund": 5}  # fmt: skip
HISTORY = ("prev", "previous", "past", "last", "hist", "history", "since", "prior", "avg", "mean", "rate", "ctr",
           "num", "n", "count", "cnt", "counts", "total", "days", "ratio", "score", "repeated")  # fmt: skip
AMOUNT = (*HISTORY, "price", "amount", "age", "length", "duration", "seconds", "nights", "adults", "children", "babies",
          "quantity", "qty", "size", "lead", "adr", "distance", "lat", "lon", "value", "sum")  # fmt: skip
CODE = ("id", "ids", "code", "type", "no", "key", "category", "cat", "brand", "agent", "company", "store", "shop",
        "seller", "city", "zip", "region", "country", "level", "class", "group", "cluster", "segment", "channel",
        "hour", "dow", "weekday", "month", "gender", "sex", "author", "artist", "genre", "tag", "language",
        "os")  # fmt: skip


def words(name: str) -> tuple[str, ...]:
    """A column's name as lower-case words: snake, kebab and camel case, and trailing digits apart.

    Example:
        >>> words("householdId"), words("is_buy"), words("rebuy28"), words("VideoID2")
        (('household', 'id'), ('is', 'buy'), ('rebuy', '28'), ('video', 'id', '2'))
    """
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    spaced = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1 \2", spaced)
    spaced = re.sub(r"([A-Za-z])(\d)", r"\1 \2", spaced)
    return tuple(word for word in re.split(r"[^A-Za-z0-9]+", spaced.lower()) if word)


def has(name: str, among: tuple[str, ...]) -> bool:
    """Whether one of the name's words, or its singular, is among those.

    Example:
        >>> has("n_promoted_products", ITEM), has("leadtime", TIME)
        (True, False)
    """
    return rank(name, among) is not None


def rank(name: str, among: tuple[str, ...]) -> int | None:
    """The place of the first listed word that the name holds; None where it holds none.

    Example:
        >>> rank("market_segment", SCENARIO) < rank("segment", SCENARIO)
        True
    """
    held = set(words(name))
    held |= {word[:-1] for word in held if word.endswith("s")}
    return next((place for place, word in enumerate(among) if word in held), None)


def outcome_like(name: str) -> bool:
    """Whether a 0/1 column of this name reads as something that happened to a row.

    Example:
        >>> [name for name in ("is_click", "prev_buys", "is_weekend", "kept") if outcome_like(name)]
        ['is_click', 'kept']
    """
    return has(name, LABEL) and not has(name, HISTORY)


def step(name: str) -> int | None:
    """Where in a funnel the name's last telling word stands.

    Example:
        >>> step("is_click") < step("buy") < step("rebuy28"), step("kept")
        (True, None)
    """
    found = [STEP[word] for word in words(name) if word in STEP]
    return found[-1] if found else None
