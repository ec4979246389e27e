"""The chaos harness: the real stack under fire, and the books counted to the nano afterwards. See README.md."""
