"""Answers to surveys: the last one of a message and survey counts, every version is kept."""

from sqlalchemy import func, select
from uuid6 import uuid7

from perennial.ledger.permissions import Permissions
from perennial.ledger.store import Row
from perennial.ledger.tables import messages, storable, survey_answers

MAX_VERSIONS = 20  # of one answer: whoever has the link may change their mind, and not fill the ledger


class Answers(Permissions):
    """The ledger's part about surveys."""

    def answer(self, message_id: str, survey: str, score: int, comment: str | None) -> bool:
        """
        Note what the receiver of a message answers; durable when it returns, and the same again adds nothing.

        False where the ledger knows no such message. After MAX_VERSIONS the newest one stands.
        """
        now, comment = self._now(), storable(comment) if comment else None
        its = (survey_answers.c.message_id == message_id, survey_answers.c.survey == survey)
        with self._writing() as connection:
            if connection.scalar(select(messages.c.message_id).where(messages.c.message_id == message_id)) is None:
                return False
            counting = (*its, survey_answers.c.superseded_at.is_(None))
            said = connection.execute(
                select(survey_answers.c.score, survey_answers.c.comment).where(*counting)
            ).one_or_none()
            versions = connection.scalar(select(func.count()).select_from(survey_answers).where(*its)) or 0
            if (said is None or tuple(said) != (score, comment)) and versions < MAX_VERSIONS:
                old = survey_answers.update().where(*counting)
                connection.execute(old.values(superseded_at=now, updated_at=now))
                row = {"answer_id": str(uuid7()), "message_id": message_id, "survey": survey, "score": score}
                connection.execute(
                    survey_answers.insert().values(**row, comment=comment, answered_at=now, updated_at=now)
                )
        return True

    def answers(self, message_id: str) -> list[Row]:
        """Every version of what the receiver of a message answered, oldest first."""
        query = select(survey_answers).where(survey_answers.c.message_id == message_id)
        with self._reading() as connection:
            rows = connection.execute(query.order_by(survey_answers.c.answer_id)).mappings()
            return [dict(row) for row in rows]
