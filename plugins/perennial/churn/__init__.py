"""Churn risk: the rule book. The scores are SQL, in `include/sql/churn`."""
