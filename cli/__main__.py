"""`python -m retake_cli` is `retake`."""

from .main import run

if __name__ == "__main__":
    run()
