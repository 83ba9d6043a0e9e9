"""Loyalty points and tiers: the rule book. The sums are SQL, in `include/sql/loyalty`."""
