"""The few pages people see, in English and Chinese, as plain HTML without scripts."""

import base64
import hashlib
from dataclasses import dataclass

_STYLE = (
    "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:15vh auto;padding:0 1rem;color:#222}"
    "button{font:inherit;padding:.6rem 1.4rem;border:0;border-radius:.4rem;background:#1f6f54;color:#fff}"
)
STYLE_HASH = f"'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'"


@dataclass(frozen=True)
class Words:
    """What the pages say in one language."""

    title: str
    question: str
    button: str
    done: str
    missing: str


WORDS = {
    "en": Words(
        title="E-mail preferences",
        question="Do you want to stop receiving these e-mails?",
        button="Unsubscribe",
        done="You are unsubscribed. You will not receive these e-mails any more.",
        missing="This link is not valid.",
    ),
    "zh-CN": Words(
        title="邮件订阅设置",
        question="您确定不再接收此类邮件吗？",  # noqa: RUF001 - Chinese marks
        button="退订",
        done="您已退订，今后不会再收到此类邮件。",  # noqa: RUF001
        missing="此链接无效。",
    ),
}


def confirm_page(locale: str) -> str:
    """Asks; only its button changes anything."""
    words = WORDS[locale]
    form = f'<form method="post"><button name="confirm" value="yes">{words.button}</button></form>'
    return _page(locale, f"<p>{words.question}</p>{form}")


def done_page(locale: str) -> str:
    """Says that it is done."""
    return _page(locale, f"<p>{WORDS[locale].done}</p>")


def missing_page(locale: str) -> str:
    """Says nothing about why."""
    return _page(locale, f"<p>{WORDS[locale].missing}</p>")


def preferred_locale(accept_language: str) -> str:
    """The language to answer in: the best of an Accept-Language header that we have, else English."""
    best, best_quality = "en", 0.0
    for entry in accept_language.split(",")[:20]:
        tag, _, parameters = entry.partition(";")
        try:
            quality = float(parameters.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        language = tag.strip().lower().partition("-")[0]
        locale = {"en": "en", "zh": "zh-CN"}.get(language)
        if locale and quality > best_quality:
            best, best_quality = locale, quality
    return best


def _page(locale: str, body: str) -> str:
    title = WORDS[locale].title
    return (
        f'<!doctype html><html lang="{locale}"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>{body}</body></html>"
    )
