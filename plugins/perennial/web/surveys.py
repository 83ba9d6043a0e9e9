"""Surveys of one tap: the mail's link has the score, the page asks for a comment, and its button says it."""

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse

from perennial.delivery.tokens import Purpose
from perennial.flows import listening
from perennial.web.bodies import read_form
from perennial.web.pages import note_page, survey_page
from perennial.web.site import Here, Locale, NoSuchPage

router = APIRouter(prefix="/answer/{token}")


@router.get("/{survey}/{score}")
def ask(token: str, survey: str, score: str, locale: Locale, site: Here) -> HTMLResponse:
    """The page, with the score chosen that was tapped."""
    known, chosen = _score(survey, score)
    site.message(token, Purpose.ANSWER)
    return HTMLResponse(survey_page(locale, survey, listening.SCORES[known], chosen))


@router.post("/{survey}/{score}")
async def take(token: str, survey: str, score: str, request: Request, locale: Locale, site: Here) -> HTMLResponse:
    """Note the answer; the score of the form counts, where there is one."""
    form = {name: values[-1] for name, values in (await read_form(request)).items()}
    known, chosen = _score(survey, form.get("score", score))

    def note() -> None:
        message_id = site.message(token, Purpose.ANSWER)
        listening.answer(message_id, known, chosen, form.get("comment", ""), site.ledger)

    await run_in_threadpool(note)
    return HTMLResponse(note_page(locale, "answered"))


def _score(survey: str, score: str) -> tuple[listening.Survey, int]:
    """Raises NoSuchPage for what the survey does not have."""
    for known, scores in listening.SCORES.items():
        if known == survey and score in map(str, scores):
            return known, int(score)
    raise NoSuchPage
