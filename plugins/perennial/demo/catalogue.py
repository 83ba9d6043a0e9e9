"""What the demo shop sells: 96 products in 8 categories. Prices rise by 3 % each January and July."""

from dataclasses import dataclass
from datetime import date
from functools import cache

import numpy as np

from perennial.demo.process import Ints, Month, Shop

# category: (code, brand, days a purchase lasts, VAT %, lowest and highest price in cents, names)
_RANGE: dict[str, tuple[str, str, int, int, int, int, str]] = {
    "tea": ("TEA", "Greenleaf", 45, 7, 490, 2490,
        "Assam Breakfast|Earl Grey|Grüner Tee Sencha|Jasmine Pearls|Longjing|Pu'er Cake|Oolong Tieguanyin"
        "|Darjeeling First Flush|Rooibos, vanilla|Peppermint|Camomile|Matcha Ceremonial"),
    "coffee": ("COF", "Roastery 12", 30, 7, 690, 2990,
        "Espresso Blend|Café Crème|Ethiopia Yirgacheffe|Colombia Huila|Decaf|Cold Brew Bags|Filter Roast"
        "|Yunnan Arabica|Moka Grind|Capsules, 50 pieces|Instant Sticks|Kenya AA"),
    "pantry": ("PAN", "Olivar", 60, 7, 290, 1890,
        "Olive Oil, extra virgin|Balsamic Vinegar|Wildflower Honey|Sea Salt|Basmati Rice|Chilli Crisp"
        "|Soy Sauce, aged|Dried Mushrooms|Almonds|Dark Chocolate 70%|Fruit Müsli|Peanut Butter"),
    "beauty": ("BEA", "Lumière", 75, 19, 890, 4990,
        "Hand Cream|Face Serum|Day Cream SPF 30|Night Cream|Clay Mask|Cleansing Oil|Lip Balm|Body Lotion"
        "|Shampoo Bar|Hair Oil|Rose Water|Eye Gel"),
    "home": ("HOM", "Hearth & Co", 0, 19, 1290, 8990,
        "Linen Towel|Wool Throw|Oak Board|Stoneware Bowl|Glass Carafe|Candle, cedar|Candle, fig|Tea Pot"
        "|Gaiwan|French Press|Storage Jar|Apron"),
    "pets": ("PET", "Pawfect", 28, 7, 590, 4490,
        "Dog Food Chicken|Dog Food Lamb|Puppy Food|Cat Food Salmon|Cat Food Duck|Kitten Food|Cat Litter"
        "|Chew Sticks|Catnip Toy|Dog Lead|Grooming Brush|Travel Bowl"),
    "garden": ("GAR", "Root & Stem", 0, 19, 290, 5990,
        "Tomato Seeds|Herb Seeds|Wildflower Mix|Potting Soil|Plant Food|Watering Can|Secateurs|Terracotta Pot"
        "|Garden Gloves|Bird Feeder|Olive Tree|Lavender"),
    "baby": ("BAB", "Kleine Wolke", 21, 19, 390, 3990,
        "Nappies size 2|Nappies size 3|Nappies size 4|Wet Wipes|Baby Oil|Bath Soap|Muslin Cloths|Bottle"
        "|Teething Ring|Porridge|Sleeping Bag|Bib Set"),
}  # fmt: skip
CATEGORIES = tuple(_RANGE)
A_CATEGORY = 12  # products in each
_BRANDS = tuple(entry[1] for entry in _RANGE.values())
_HEADER = "sku,name,category,brand,price,unit_cost,image_url,url,replenish_days,active\n"


@dataclass(frozen=True)
class Catalogue:
    """Row i is one product; products of category c are rows c * A_CATEGORY and the following."""

    skus: tuple[str, ...]
    names: tuple[str, ...]
    base_cents: Ints
    cost_cents: Ints
    tax_percent: Ints
    replenish_days: Ints


@cache
def catalogue(shop: Shop) -> Catalogue:
    rng = shop.stream("catalogue")
    skus, names, prices, taxes, lasts = [], [], [], [], []
    for code, _, replenish, tax, low, high, words in _RANGE.values():
        for place, name in enumerate(words.split("|"), start=1):
            skus.append(f"{code}-{place:03d}")
            names.append(name)
            taxes.append(tax)
            lasts.append(replenish)
        prices.append(np.sort(rng.integers(low // 100, high // 100 + 1, A_CATEGORY)) * 100 + 90)
    base = np.concatenate(prices)
    return Catalogue(
        tuple(skus),
        tuple(names),
        base,
        (base * rng.uniform(0.35, 0.6, len(base))).astype(np.int64),
        np.array(taxes, dtype=np.int64),
        np.array(lasts, dtype=np.int64),
    )


def prices(shop: Shop, month: Month) -> Ints:
    """Cents of each product in a month."""
    rises = month.number // 6 - Month.of(shop.first_day).number // 6
    return np.asarray(np.rint(catalogue(shop).base_cents * 1.03**rises), dtype=np.int64)


def price_list_days(shop: Shop) -> list[date]:
    """When the shop exports its products: on its first day and whenever prices change."""
    months = range(Month.of(shop.first_day).number + 1, Month.of(shop.horizon - 1).number + 1)
    changes = [date(1970 + number // 12, number % 12 + 1, 1) for number in months if number % 6 == 0]
    return [shop.start, *changes]


def product_file(shop: Shop, day: date) -> bytes:
    """The whole catalogue as CSV, with the prices of `day`."""
    goods = catalogue(shop)
    now = prices(shop, Month.of((day - date(1970, 1, 1)).days))
    rows = []
    for row, (sku, name) in enumerate(zip(goods.skus, goods.names, strict=True)):
        quoted = f'"{name}"' if "," in name else name
        lasts = str(goods.replenish_days[row] or "")
        rows.append(
            f"{sku},{quoted},{CATEGORIES[row // A_CATEGORY]},{_BRANDS[row // A_CATEGORY]},"
            f"{now[row] / 100:.2f},{goods.cost_cents[row] / 100:.4f},"
            f"https://shop.example/images/{sku}.jpg,https://shop.example/p/{sku},{lasts},true\n"
        )
    return (_HEADER + "".join(rows)).encode()
