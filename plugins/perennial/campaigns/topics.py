"""What people can choose to hear about: `include/rules/topics.yaml`."""

from pydantic import Field

from perennial.foundation.documents import Document, read_document
from perennial.foundation.settings import Settings


class Topic(Document):
    """A topic of campaigns, in the words of those who choose it."""

    en: str = Field(min_length=1, max_length=80)
    zh_cn: str = Field(min_length=1, max_length=80, alias="zh-CN")

    def in_locale(self, locale: str) -> str:
        """Its name in a language; English where there is none."""
        return self.zh_cn if locale == "zh-CN" else self.en


class TopicsFile(Document):
    """What `topics.yaml` says."""

    topics: dict[str, Topic] = Field(min_length=1)


def load_topics(settings: Settings) -> dict[str, Topic]:
    """Topics by the name that campaigns use. Raises BadConfig naming file, field and value."""
    return read_document(settings.files.file("rules", "topics.yaml"), TopicsFile).topics
