"""A demo company: simulated people, the files their shop would export, and how they answer mail."""

from perennial.demo.process import Activity, Dirt, Shop
from perennial.demo.reactions import ANSWER_DAYS, Mail, MessageEvent, Reactions, Unsubscribe, react, write_reactions
from perennial.demo.shop import DEFAULT_SEED, build_shop, read_shop, truth_dir, write_days

__all__ = [
    "ANSWER_DAYS",
    "DEFAULT_SEED",
    "Activity",
    "Dirt",
    "Mail",
    "MessageEvent",
    "Reactions",
    "Shop",
    "Unsubscribe",
    "build_shop",
    "react",
    "read_shop",
    "truth_dir",
    "write_days",
    "write_reactions",
]
