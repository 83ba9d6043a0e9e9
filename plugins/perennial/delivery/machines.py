"""Who looked at a mail: a person, or a program that looks at mails for people."""

import re
from functools import lru_cache

_LONGEST = 500  # characters of a user agent that are read

# Names that programs give themselves: crawlers, scanners of links, libraries. Gmail's and Yahoo's image proxies are no
# such programs: they fetch when a person opens the mail.
_PROGRAM = re.compile(
    r"bot\b|crawl|spider|scan|preview|monitor|headless|phantom|barracuda|mimecast|proofpoint|safelinks|symantec"
    r"|trend ?micro|sophos|cloudmark|forcepoint|fireeye|zscaler|curl|wget|python|java/|okhttp|go-http-client|libwww"
    r"|axios|node-fetch|apache-httpclient|facebookexternalhit|slackbot|whatsapp|skypeuripreview",
    re.IGNORECASE,
)


def is_program(user_agent: str) -> bool:
    """Whether this user agent is no person's: a program's, none, or the bare one of Apple's privacy proxy."""
    return _is_program(user_agent.strip()[:_LONGEST])


@lru_cache(maxsize=4096)  # they repeat
def _is_program(said: str) -> bool:
    return said in ("", "Mozilla/5.0") or bool(_PROGRAM.search(said))
