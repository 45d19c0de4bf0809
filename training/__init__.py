"""How the models that ship with retake are made and measured; not part of the package."""
