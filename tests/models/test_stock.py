"""What stock families share: prompts from templates, and models that a user holds."""

from pathlib import Path

import pytest

from retake.core.adapter import LoadOptions
from retake.core.errors import ModelError
from retake.models import models
from tests.tiny import MAKERS


def test_a_users_model_of_which_nothing_is_said(family: str, tmp_path: Path) -> None:
    """A model in memory is prepared for by what its tower takes, and that is said."""
    folder = MAKERS[family](tmp_path / "held")
    loaded = models.get(family).load(folder, LoadOptions())
    loaded.model.config._name_or_path = ""
    with pytest.warns(UserWarning, match="No preprocessor configuration was found with this"):
        models.get(family).wrap(loaded.model, loaded.tokenizer)


@pytest.mark.parametrize("template", ["{% for %}", "{{ raise_exception('no') }}", "{{ 1 / 'a' }}"])
def test_a_template_that_cannot_be_filled_in(family: str, tmp_path: Path, template: str) -> None:
    """What is wrong with it is said of the checkpoint, not as a defect of retake."""
    folder = MAKERS[family](tmp_path / "odd", template=template)
    adapter = models.get(family).load(folder, LoadOptions())
    with pytest.raises(ModelError, match=r"chat template of .* cannot be filled in"):
        adapter.prompt("What?")
