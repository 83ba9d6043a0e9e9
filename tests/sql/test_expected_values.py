"""A campaign is valued by its own mails from a hundred on."""

from datetime import date, timedelta

DAY = date(2026, 3, 31)


def test_a_hundred_mails_speak_for_themselves(bench):
    first = DAY - timedelta(days=20)
    mail = {"arm": "treated", "purpose": "promotional", "send_day": first, "accepted_date": first}
    mails = [{"message_id": f"m{n}", "campaign": "many", "customer_id": f"c{n}", **mail} for n in range(100)]
    mails += [{"message_id": f"n{n}", "campaign": "few", "customer_id": f"c{n}", **mail} for n in range(99)]
    order = {"is_completed": True, "ordered_date": first, "net_revenue": "30.00"}
    orders = [{"order_id": f"o{n}", "customer_id": f"c{n}", **order} for n in range(50)]
    orders.append({"order_id": "last", "customer_id": "c99", **order})  # whom only the one campaign wrote to
    given = {
        "rules.campaigns": [{"campaign": name, "goal_days": 14} for name in ("many", "few")],
        "ledger.messages": mails,
        "core.orders": orders,
    }
    found = {
        row["campaign"]: float(row["expected_value"])
        for row in bench.build("campaigns.expected_values", DAY, given).to_pylist()
    }
    assert found == {"many": 15.30, "few": 15.23}  # 1,530 of 100 mails; 3,030 of all 199
