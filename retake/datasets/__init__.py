"""One benchmark a file or folder."""
