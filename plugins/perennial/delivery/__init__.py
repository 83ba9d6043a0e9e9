"""Getting mail out: composing it, handing it to a provider, remembering what was handed over."""
