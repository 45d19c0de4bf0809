"""`python -m retake.integrations.lmms_eval`: started by lmms-eval's side, not by people."""

from retake.integrations.lmms_eval.serving import main

if __name__ == "__main__":
    main()
