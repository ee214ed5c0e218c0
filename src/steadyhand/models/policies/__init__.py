"""One module per kind of policy; ``catalog`` names them."""
