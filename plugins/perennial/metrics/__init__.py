"""What the metric tables mean to people: their rule book, the report and the data dictionary."""
