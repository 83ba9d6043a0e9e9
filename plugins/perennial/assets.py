"""
Every Airflow Asset, in the order of the flow: the map.

    ingest_sources ─► RAW ─► refresh_customers ─► SEGMENTS ─► score_churn ─► CHURN_SCORES
                  ─► plan_campaigns ─► DECISIONS ─► publish_metrics ─► MARTS

Each event carries the business day as its partition key, and `{"origin", "day"}` as its extra. The chain stays
linear: joins of two partitioned assets misfire after a clear (apache/airflow#71070).
"""

from airflow.sdk import Asset

RAW = Asset("raw")
SEGMENTS = Asset("segments")
CHURN_SCORES = Asset("churn_scores")
DECISIONS = Asset("decisions")
MARTS = Asset("marts")
