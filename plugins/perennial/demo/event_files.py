# ruff: noqa: RUF001 - Chinese has its own punctuation
"""The interaction files: what the web shop, the app, the help desk and social media would report about a month."""

import numpy as np

from perennial.demo.block import Block
from perennial.demo.catalogue import CATEGORIES, catalogue
from perennial.demo.contacts import CLICK_KINDS, COMPLAINT, SOCIAL_KINDS, SUPPORT_KINDS, Events
from perennial.demo.files import Spool
from perennial.demo.purchases import GUEST
from perennial.demo.soil import BROKEN_DATE, BROKEN_DATES, DUPLICATE, LATE, Soiled, soil, spool_soiled
from perennial.demo.text import Text, choose, join, member, moments, number, where

# By locale; each of the three groups of four is picked by Events.text: questions, praise, blame.
_SAID = {
    "en": (
        "Where is my parcel?", "Please change my delivery address.", "The invoice is missing.", "One item is missing.",
        "Love it, great quality!", "Fast delivery, thank you.", "My favourite shop.", "Good value and friendly staff.",
        "Very disappointed, it arrived broken.", "Nobody answers my mails.", "Terrible service, never again.",
        "Too expensive and too slow.",
    ),
    "zh": (
        "我的包裹在哪里？", "请修改我的收货地址。", "没有收到发票。", "少了一件商品。",
        "质量很好，非常喜欢！", "发货很快，谢谢。", "我最喜欢的店。", "物美价廉，服务热情。",
        "非常失望，收到时已经坏了。", "发邮件没有人回复。", "服务太差，再也不买了。", "又贵又慢。",
    ),
}  # fmt: skip


def spool_web_interactions(spool: Spool, block: Block, clicks: Events) -> None:
    """The web shop's tracker knows a browser always, and a person who is logged in."""
    rng, label = block.stream("web_interactions"), block.label
    dirt = _dirt(block, rng, clicks)
    logged_in = rng.random(len(clicks)) < 0.8
    lines = join(
        '{"id": "w',
        _serial(block, clicks),
        '"',
        member("ts", _times(clicks, dirt)),
        member("type", choose(CLICK_KINDS, clicks.kind)),
        member("cookie", choose(label.cookie, clicks.person)),
        member("user", choose(label.ref, np.where(logged_in, clicks.person, GUEST))),
        member("sku", choose(catalogue(block.shop).skus, clicks.product)),
        member("query", choose(CATEGORIES, clicks.text)),
        "}\n",
    )
    spool_soiled(spool, "web_interactions", clicks.day, lines, dirt)


def spool_app_interactions(spool: Spool, block: Block, clicks: Events) -> None:
    """The app nests its events."""
    label = block.label
    dirt = _dirt(block, block.stream("app_interactions"), clicks)
    lines = join(
        '{"event_id": "a',
        _serial(block, clicks),
        '", "event": {"name": "',
        choose(CLICK_KINDS, clicks.kind),
        '", "time": "',
        _times(clicks, dirt),
        '"}',
        member("device_id", choose(label.device, clicks.person)),
        member("account", choose(label.ref, clicks.person)),
        member("sku", choose(catalogue(block.shop).skus, clicks.product)),
        "}\n",
    )
    spool_soiled(spool, "app_interactions", clicks.day, lines, dirt)


def spool_support(spool: Spool, block: Block, said: Events) -> None:
    """The help desk knows people by e-mail, a fifth of them by phone, and by their number where neither works."""
    who, label = block.who, block.label
    dirt = _dirt(block, block.stream("support_desk"), said)
    by_phone = (said.person % 5 == 0) & who.has_phone[said.person]
    nameless = who.has_bad_address[said.person] & ~by_phone
    lines = join(
        '{"id": "s',
        _serial(block, said),
        '"',
        member("created_at", _times(said, dirt)),
        member("kind", choose(SUPPORT_KINDS, said.kind)),
        member("priority", where(said.kind == COMPLAINT, "high", "normal")),
        member("email", where(by_phone, "", choose(label.email, said.person))),
        member("phone", where(by_phone, choose(label.phone, said.person), "")),
        member("customer", where(nameless, choose(label.ref, said.person), "")),
        member("ticket", where(said.ticket < 0, "", join("T", block.prefix, number(np.abs(said.ticket), 6)))),
        where(said.rating < 0, "", join(', "score": ', number(said.rating))),
        member("text", _words(block, said)),
        "}\n",
    )
    spool_soiled(spool, "support_desk", said.day, lines, dirt)


def spool_social(spool: Spool, block: Block, said: Events) -> None:
    dirt = soil(block.shop.dirt, block.stream("posts"), np.ones(len(said), dtype=bool), (DUPLICATE, BROKEN_DATE))
    lines = join(
        '{"id": "m',
        _serial(block, said),
        '"',
        member("at", _times(said, dirt)),
        member("action", choose(SOCIAL_KINDS, said.kind)),
        member("network", choose(["photos", "weibo"], block.who.is_chinese[said.person])),
        member("member", choose(block.label.ref, said.person)),
        member("text", _words(block, said)),
        "}\n",
    )
    spool_soiled(spool, "social", said.day, lines, dirt)


def _dirt(block: Block, rng: np.random.Generator, events: Events) -> Soiled:
    return soil(block.shop.dirt, rng, np.ones(len(events), dtype=bool), (DUPLICATE, LATE, BROKEN_DATE))


def _serial(block: Block, events: Events) -> Text:
    return join(block.prefix, number(np.arange(1, len(events) + 1), 7))


def _times(events: Events, dirt: Soiled) -> Text:
    broken = choose(BROKEN_DATES[:-1], np.arange(len(events)) % (len(BROKEN_DATES) - 1))
    return where(dirt.kind == BROKEN_DATE, broken, moments(events.day, events.second))


def _words(block: Block, said: Events) -> Text:
    chinese = block.who.is_chinese[said.person] == 1
    return where(chinese, choose(_SAID["zh"], said.text), choose(_SAID["en"], said.text))
