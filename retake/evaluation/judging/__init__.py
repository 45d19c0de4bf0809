"""Answers that only a judge can mark: asked of an endpoint, kept in the run's folder."""
