"""Where a checkpoint's weights go: on one device, or spread by `accelerate`.

Quantised layers refuse to be moved once they are made, so those too are loaded to their place.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from retake.core.adapter import LoadOptions
from retake.core.errors import MissingExtraError, UsageError


def quantised(config: Any) -> bool:
    """Whether a checkpoint's configuration says that its weights are quantised."""
    return getattr(config, "quantization_config", None) is not None


def placed(config: Any, options: LoadOptions) -> dict[str, Any]:
    """What `from_pretrained` is told of where weights go; nothing, where they are moved later.

    Args:
        config: the checkpoint's.
        options: the device, and the map if there is one.

    Raises:
        MissingExtraError: accelerate is needed and not installed.
    """
    if options.device_map is None and not quantised(config):
        return {}
    if find_spec("accelerate") is None:
        why = "A device map needs" if options.device_map else "A quantised checkpoint needs"
        raise MissingExtraError(
            f"{why} accelerate, which is not installed.",
            hint="pip install 'retake[accelerate]'",
        )
    if options.device_map is None:
        return {"device_map": {"": options.device}}
    told: dict[str, Any] = {"device_map": options.device_map}
    if isinstance(options.device_map, str) and options.on_host:
        # Asked for the host, it must not be spread over GPUs that are there besides.
        from accelerate.utils import get_max_memory

        told["max_memory"] = {"cpu": get_max_memory()["cpu"]}
    return told


def check_covered(model: Any, options: LoadOptions) -> None:
    """Refuse a map that says nothing of some weights: they would stay wherever they were read to.

    Raises:
        UsageError: naming some of them.
    """
    if not isinstance(options.device_map, dict):
        return
    parts = [part for part in options.device_map if part]
    left_out = [
        name
        for name, _ in model.named_parameters()
        if "" not in options.device_map
        and not any(name == part or name.startswith(f"{part}.") for part in parts)
    ]
    if left_out:
        more = f" and {len(left_out) - 3} more" if len(left_out) > 3 else ""
        raise UsageError(
            f"The device map places no {', '.join(left_out[:3])}{more}.",
            hint="Name a part for each; {'': DEVICE} stands for the whole model.",
        )


@contextmanager
def library_errors(folder: str, config: Any) -> Iterator[None]:
    """Turn a missing library of a quantised checkpoint into an error that says what to install.

    Raises:
        MissingExtraError: instead of the ImportError; any other goes on as it is.
    """
    try:
        yield
    except ImportError as error:
        if not quantised(config):
            raise
        method = _method(config)
        reason = str(error).strip().splitlines()[0]
        raise MissingExtraError(
            f"Cannot load '{folder}', which is quantised by {method}: {reason}",
            hint=_INSTALL.get(method, "Install the library that made the checkpoint."),
        ) from error


_INSTALL = {
    "bitsandbytes": "pip install bitsandbytes",
    "gptq": "pip install gptqmodel optimum",
    "awq": "pip install gptqmodel",
}


def _method(config: Any) -> str:
    """The name of the method that quantised a checkpoint."""
    said = config.quantization_config
    method = said.get("quant_method") if isinstance(said, dict) else said.quant_method
    name = str(getattr(method, "value", method))
    return "bitsandbytes" if name.startswith("bitsandbytes") else name
