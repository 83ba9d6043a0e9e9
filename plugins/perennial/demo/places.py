"""Names and places people are made from. No real person is meant; e-mail domains are reserved ones (RFC 2606)."""

from typing import NamedTuple


class Place(NamedTuple):
    country: str
    region: str
    city: str
    postcode: str
    timezone: str
    weight: int


WEST = (
    Place("GB", "England", "London", "SW1A 1AA", "Europe/London", 20),
    Place("GB", "England", "Manchester", "M2 5DB", "Europe/London", 9),
    Place("GB", "Scotland", "Edinburgh", "EH1 1YZ", "Europe/London", 6),
    Place("US", "New York", "New York", "10001", "America/New_York", 9),
    Place("US", "Illinois", "Chicago", "60601", "America/Chicago", 6),
    Place("US", "California", "San Francisco", "94103", "America/Los_Angeles", 7),
    Place("DE", "Berlin", "Berlin", "10115", "Europe/Berlin", 10),
    Place("DE", "Bayern", "München", "80331", "Europe/Berlin", 6),
    Place("AU", "New South Wales", "Sydney", "2000", "Australia/Sydney", 5),
    Place("AU", "Western Australia", "Perth", "6000", "Australia/Perth", 3),
    Place("IE", "Leinster", "Dublin", "D02 AF30", "Europe/Dublin", 4),
    Place("CA", "Ontario", "Toronto", "M5H 2N2", "America/Toronto", 5),
    Place("NL", "Noord-Holland", "Amsterdam", "1012 JS", "Europe/Amsterdam", 5),
    Place("FR", "Île-de-France", "Paris", "75001", "Europe/Paris", 5),
)
CHINA = (
    Place("CN", "上海", "上海", "200000", "Asia/Shanghai", 24),
    Place("CN", "北京", "北京", "100000", "Asia/Shanghai", 20),
    Place("CN", "广东", "深圳", "518000", "Asia/Shanghai", 16),
    Place("CN", "广东", "广州", "510000", "Asia/Shanghai", 14),
    Place("CN", "浙江", "杭州", "310000", "Asia/Shanghai", 12),
    Place("CN", "四川", "成都", "610000", "Asia/Shanghai", 10),
)
PLACES = WEST + CHINA
# Everything after the + of a number but for the part that tells people apart, and how many digits that has.
DIALLING = {
    "GB": ("447", 9), "US": ("1", 10), "DE": ("4915", 9), "AU": ("614", 8), "IE": ("3538", 8), "CA": ("1", 10),
    "NL": ("316", 8), "FR": ("336", 8), "CN": ("861", 10),
}  # fmt: skip
DOMAINS = ("example.com", "example.org", "example.net")


def _latin(names: str, *special: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """(as written, as in an e-mail address) of each name."""
    plain = ((name, name.lower().replace("'", "").replace("-", "")) for name in names.split())
    return (*plain, *special)


GIVEN_WEST_WOMEN = _latin(
    "Emma Olivia Amelia Sophie Grace Hannah Lucy Charlotte Ella Ruby Clara Alice Mia Nora Julia "
    "Laura Anna Sarah Rachel Megan Chloe Zoe Leah Isla Freya Harriet Martha Rosa Helen Judith",
    ("Zoë", "zoe"),
    ("Renée", "renee"),
)
GIVEN_WEST_MEN = _latin(
    "Oliver Noah George Arthur Leo Jack Harry Oscar Thomas Henry Daniel Samuel Adam Lucas Felix Max "
    "Paul David Peter Simon Martin Patrick Owen Callum Hugo Victor Anton Robert Edward Philip",
    ("José", "jose"),
    ("Jürgen", "juergen"),
)
FAMILY_WEST = _latin(
    "Smith Jones Taylor Brown Wilson Evans Thomas Roberts Walker Wright Hall Green Clarke Baker Hill "
    "Moore Cooper Ward Turner Parker Cook Bell Murphy Kelly Young King Scott Adams Fischer Weber "
    "Wagner Becker Hoffmann Koch Richter Klein Martin Bernard Dubois Laurent Jansen Visser Bakker "
    "O'Brien O'Connor Smith-Jones",
    ("Müller", "mueller"),
    ("Schäfer", "schaefer"),
    ("Lefèvre", "lefevre"),
)
GIVEN_CHINA_WOMEN = (
    ("秀英", "xiuying"), ("芳", "fang"), ("娜", "na"), ("敏", "min"), ("静", "jing"), ("丽", "li"), ("雪梅", "xuemei"),
    ("晓燕", "xiaoyan"), ("玉兰", "yulan"), ("婷婷", "tingting"), ("欣怡", "xinyi"), ("梓涵", "zihan"),
    ("雨桐", "yutong"),
    ("思琪", "siqi"), ("佳慧", "jiahui"), ("美玲", "meiling"),
)  # fmt: skip
GIVEN_CHINA_MEN = (
    ("伟", "wei"), ("强", "qiang"), ("磊", "lei"), ("军", "jun"), ("洋", "yang"), ("勇", "yong"), ("建国", "jianguo"),
    ("志强", "zhiqiang"), ("浩然", "haoran"), ("子轩", "zixuan"), ("宇航", "yuhang"), ("俊杰", "junjie"),
    ("明", "ming"),
    ("文博", "wenbo"), ("海涛", "haitao"), ("天佑", "tianyou"),
)  # fmt: skip
FAMILY_CHINA = (
    ("王", "wang"), ("李", "li"), ("张", "zhang"), ("刘", "liu"), ("陈", "chen"), ("杨", "yang"), ("黄", "huang"),
    ("赵", "zhao"), ("吴", "wu"), ("周", "zhou"), ("徐", "xu"), ("孙", "sun"), ("马", "ma"), ("朱", "zhu"),
    ("胡", "hu"),
    ("郭", "guo"), ("何", "he"), ("林", "lin"), ("高", "gao"), ("罗", "luo"), ("欧阳", "ouyang"), ("司马", "sima"),
)  # fmt: skip

OCCUPATIONS = (
    "",
    "teacher",
    "engineer",
    "nurse",
    "student",
    "retired",
    "designer",
    "clerk",
    "manager",
    "self-employed",
)
INCOME_BANDS = ("", "under 20k", "20k-40k", "40k-60k", "60k-100k", "over 100k")
GENDERS = ("female", "male", "", "other")
SIGNUP_CHANNELS = ("web", "app", "store", "referral", "search_ad", "social_ad")
SIGNUP_WEIGHTS = (0.3, 0.16, 0.18, 0.08, 0.17, 0.11)
ACQUISITION_CENTS = (150, 320, 90, 500, 1450, 980)  # typical cost of one sign-up by channel
