"""What a template may know about the person it is written to. Nothing else reaches a template."""

import re
from datetime import date
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field

from perennial.foundation.documents import Document

MAX_PRODUCTS = 12
OWN_LINKS = ("unsubscribe_url", "preferences_url", "confirm_url", "answer_url", "view_url", "open_url")

_LONGEST_SAID = 100  # characters
# Categories Cc, Zl and Zp, and direction overrides.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def _one_line(text: str) -> str:
    """Line breaks and control characters become blanks: a name can neither break a header nor forge a second line."""
    return (text if text.isprintable() else _CONTROLS.sub(" ", text)).strip()


def _or_unknown(text: str) -> str:
    """Nobody is called so much: a mail without it is better than none, for them and all others of the day."""
    return text if len(text) <= _LONGEST_SAID else ""


def _web_address(url: str) -> str:
    if not re.fullmatch(r"https?://[^\s\"'<>\\^`{|}\x00-\x1f]{1,2000}", url):
        raise ValueError("must be an http or https address")
    return url


Line = Annotated[str, AfterValidator(_one_line), Field(max_length=500)]
Said = Annotated[str, AfterValidator(_one_line), AfterValidator(_or_unknown)]  # as sources told it
Url = Annotated[str, AfterValidator(_web_address)]
OptionalUrl = Url | Annotated[str, Field(max_length=0)]


class Product(Document):
    """Something to show. `price` is in the context's currency; `image_url` is empty where there is no picture."""

    name: Line
    price: Decimal
    url: Url
    image_url: OptionalUrl = ""


class RenderContext(Document):
    """
    The variables of every template, as of the end of the day before `send_day`.

    Frozen with the decision and kept in the outbox as JSON. Texts hold one line each; an empty text means unknown, and
    a template says something neutral then.
    """

    model_config = ConfigDict(hide_input_in_errors=True)  # values are personal data

    locale: str = Field(description="The template's locale, such as zh-CN: filters format by it.")
    send_day: date
    currency: str = Field(pattern="^[A-Z]{3}$", description="ISO 4217.")
    shop_name: Line
    shop_url: Url
    unsubscribe_url: Url
    preferences_url: OptionalUrl = Field(default="", description="Where people choose what they hear about.")
    confirm_url: OptionalUrl = Field(default="", description="Only in the mail that asks to confirm a subscription.")
    answer_url: OptionalUrl = Field(default="", description="Of surveys: write {{ 9 | nps_url }}.")
    view_url: OptionalUrl = Field(default="", description="The mail in a browser.")
    open_url: OptionalUrl = Field(default="", description="A picture; every template gets it.")
    topic_name: Line = Field(default="", description="Only in the mail that asks to confirm a subscription.")
    postal_address: Line
    subject_label: Line = Field(default="", description="What the law wants at the beginning of the subject.")
    coupon_code: Line = Field(default="", description="This mail's own code, of a campaign with an `offer`.")
    first_name: Said = ""
    tier: Line = Field(default="", description="Name in the loyalty rules, such as blossom.")
    previous_tier: Line = ""
    next_tier: Line = Field(default="", description="Empty at the top.")
    points_balance: int = 0
    points_to_next_tier: int = 0
    points_expire_date: date | None = Field(
        default=None, description="From then on all are void, unless some are earned before."
    )
    favourite_category: Said = ""
    days_since_last_order: int | None = None
    orders: int = 0
    products: tuple[Product, ...] = Field(
        default=(), max_length=MAX_PRODUCTS, description="What sells best of the favourite category."
    )
    occasion_products: tuple[Product, ...] = Field(
        default=(),
        max_length=MAX_PRODUCTS,
        description="What the campaign's occasion is about: the cart, the order, what was looked at or is used up.",
    )
    preview: bool = Field(default=False, description="A sample for people's eyes: it says so on top.")


VARIABLES = frozenset(RenderContext.model_fields)


def sample_contexts(locale: str) -> tuple[RenderContext, RenderContext]:
    """Somebody we know everything about, and somebody we know nothing about. For lint and previews."""
    chinese = locale.startswith("zh")
    sparse = RenderContext(
        locale=locale,
        send_day=date(2026, 2, 1),
        currency="EUR",
        shop_name="Perennial Demo Shop",
        shop_url="https://shop.example/",
        unsubscribe_url="https://shop.example/u/sample-token",
        answer_url="https://shop.example/a/sample-token",
        postal_address="Perennial Demo Shop, 1 Garden Lane, 10115 Berlin",
        preview=True,
    )
    goods = (
        {"手工修枝剪": "24.90", "陶土花盆": "14.50", "铜制洒水壶": "39.00"}
        if chinese
        else {"Bypass secateurs": "24.90", "Terracotta pot, 20 cm": "14.50", "Copper watering can": "39.00"}
    )
    products = [
        {
            "name": name,
            "price": price,
            "url": f"https://shop.example/p/{n}",
            "image_url": f"https://shop.example/p/{n}.png",
        }
        for n, (name, price) in enumerate(goods.items(), 1)
    ]
    known = {
        "preferences_url": "https://shop.example/p/sample-token",
        "view_url": "https://shop.example/v/sample-token",
        "coupon_code": "SPRING-7K2M",
        "first_name": "晓雨" if chinese else "Ada",
        "tier": "blossom",
        "previous_tier": "leaf",
        "next_tier": "evergreen",
        "points_balance": 1240,
        "points_to_next_tier": 760,
        "points_expire_date": date(2026, 2, 20),
        "favourite_category": "garden",
        "days_since_last_order": 94,
        "orders": 7,
        "products": products,
        "occasion_products": products[:2],
    }
    return RenderContext.model_validate(sparse.model_dump() | known), sparse
