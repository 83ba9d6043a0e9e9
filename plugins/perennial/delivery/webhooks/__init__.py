"""
What providers tell about messages, one file a provider: is it theirs, and what does it say.

    verify(…)       raises Forged for what the provider did not sign
    read(body)      the events about our messages, and what is to be kept aside
"""

from perennial.delivery.webhooks.report import Aside, Forged, Report, Reported

__all__ = ["Aside", "Forged", "Report", "Reported"]
