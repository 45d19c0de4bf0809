"""What pyproject.toml cannot say: every package below `retake`, and `cli/` as `retake_cli`."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["retake", "retake.*"]), "retake_cli"])
