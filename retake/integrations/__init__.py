"""retake inside other frameworks; each needs that framework installed."""
