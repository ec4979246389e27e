"""SDK clients against a real model while the gateway is reloaded. See README.md."""
