"""The public web app: what people outside reach without a login."""
