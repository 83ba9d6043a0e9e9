"""Who is in what: the conditions marketers write, and the segments declared with them."""
