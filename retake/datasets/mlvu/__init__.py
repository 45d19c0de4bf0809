"""MLVU: seven to nine kinds of choice and two of writing about long videos (arXiv 2406.04264)."""
