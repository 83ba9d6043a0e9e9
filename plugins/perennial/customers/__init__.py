"""Who is one person."""
