"""What the pages say, in English and Chinese. Part of the proof of what people agreed to: `listening.TEXT_VERSION`."""

# ruff: noqa: RUF001 - Chinese marks

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Words:
    """One language."""

    title: str
    missing: str
    questions: dict[str, str]  # before something is done …
    buttons: dict[str, str]
    notes: dict[str, str]  # … and after it
    unsubscribed: str
    changed_mind: str
    preferences: str
    preferences_hint: str
    subscribe: str
    address: str
    topic: str
    wrong_address: str
    surveys: dict[str, tuple[str, str, str]] = field(default_factory=dict)  # question, lowest and highest score
    score: str = ""
    comment: str = ""


WORDS = {
    "en": Words(
        title="E-mail preferences",
        missing="This link is not valid.",
        questions={
            "unsubscribe": "Do you want to stop receiving these e-mails?",
            "confirm": "Do you want to receive these e-mails? You can stop them at any time.",
        },
        buttons={
            "unsubscribe": "Unsubscribe",
            "confirm": "Yes, subscribe me",
            "choose": "Save",
            "subscribe": "Subscribe",
            "answer": "Send",
        },
        notes={
            "chosen": "Saved. You will receive what you chose.",
            "look_into_mailbox": "Please look into your mailbox: if the address is right, we have sent you an e-mail "
            "with a link. Only with that link you are subscribed.",
            "confirmed": "You are subscribed. Thank you!",
            "answered": "Thank you for your answer!",
            "mail_gone": "This e-mail is kept no longer. The copy in your mailbox still has all of it.",
        },
        unsubscribed="You are unsubscribed. You will not receive these e-mails any more.",
        changed_mind="Changed your mind? Choose what you receive",
        preferences="What do you want to hear about?",
        preferences_hint="Only what is ticked will be sent to you.",
        subscribe="Receive our e-mails",
        address="E-mail address",
        topic="About",
        wrong_address="Please check the address and what you choose.",
        surveys={
            "nps": ("How likely are you to recommend us to a friend?", "not at all likely", "very likely"),
            "csat": ("How satisfied are you?", "not at all", "very much"),
        },
        score="Your score",
        comment="Would you like to tell us why? (optional)",
    ),
    "zh-CN": Words(
        title="邮件订阅设置",
        missing="此链接无效。",
        questions={
            "unsubscribe": "您确定不再接收此类邮件吗？",
            "confirm": "您确定接收此类邮件吗？您可以随时退订。",
        },
        buttons={
            "unsubscribe": "退订",
            "confirm": "是的，我要订阅",
            "choose": "保存",
            "subscribe": "订阅",
            "answer": "提交",
        },
        notes={
            "chosen": "已保存。今后您只会收到您选择的邮件。",
            "look_into_mailbox": "请查看您的邮箱：如果地址无误，我们已向您发送一封带有链接的邮件。"
            "点击其中的链接后，订阅才会生效。",
            "confirmed": "订阅成功，谢谢您！",
            "answered": "感谢您的反馈！",
            "mail_gone": "此邮件的网页版已不再保留，您邮箱中的邮件仍然完整。",
        },
        unsubscribed="您已退订，今后不会再收到此类邮件。",
        changed_mind="改变主意了？选择您想收到的邮件",
        preferences="您希望收到哪些内容？",
        preferences_hint="我们只会发送您勾选的内容。",
        subscribe="订阅我们的邮件",
        address="邮箱地址",
        topic="内容",
        wrong_address="请检查邮箱地址和所选内容。",
        surveys={
            "nps": ("您有多大可能向朋友推荐我们？", "完全不可能", "非常可能"),
            "csat": ("您对我们满意吗？", "非常不满意", "非常满意"),
        },
        score="您的评分",
        comment="您愿意告诉我们原因吗？（可不填）",
    ),
}
