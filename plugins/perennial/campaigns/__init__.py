"""Campaign folders and the contact policy: what marketers declare about whom to write to, when and how often."""
