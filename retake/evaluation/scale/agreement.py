"""Whether workers are of one mind: what they loaded must be the same everywhere."""

from collections.abc import Iterator

from retake.core.errors import WorkerError
from retake.evaluation.coding import Alike, code_differences
from retake.evaluation.differing import Difference, differing
from retake.evaluation.matching import decisive
from retake.evaluation.records import RunHeader
from retake.evaluation.scale.messages import About


def check_agreement(header: RunHeader, name: str, about: About) -> tuple[str, ...]:
    """Refuse a worker that would give other numbers; what else to know of it.

    Args:
        header: of the run, as the first worker decided it.
        name: of the worker.
        about: what it says of itself.

    Raises:
        WorkerError: it loaded another model, by another configuration, or other code.
    """
    found = [f"  {each}" for each in _differences(header, about)]
    if found:
        listing = "\n".join(found)
        raise WorkerError(
            f"The workers do not agree. Of {name} it is other than of the first one:\n{listing}",
            hint="Every worker must have the same model, the same code and the same kind of "
            "device.",
        )
    return tuple(
        f"{name} has another {package}: {about.versions.get(package)}, not {version}."
        for package, version in header.versions.items()
        if about.versions.get(package) != version
    )


def _differences(header: RunHeader, about: About) -> Iterator[Difference]:
    if about.fingerprint != header.fingerprint:
        yield Difference("the model's fingerprint", header.fingerprint, about.fingerprint)
    same = Alike(header.code, about.code)
    yield from decisive(differing(header.config, about.config, same))
    yield from code_differences(header.code, about.code)
