"""What answers lmms-eval's requests, in retake's own environment (docs/lmms-eval.md).

lmms-eval and retake need different releases of PyAV, so lmms-eval's side is a distribution of
its own (integrations/lmms-eval). It starts `python -m retake.integrations.lmms_eval` and talks
to it.
Nothing here imports lmms-eval.
"""
