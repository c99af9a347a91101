"""What is not installed is named with the extra that brings it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs(what: str, *libraries: str, extra: str) -> Iterator[None]:
    """Import libraries in this context, which says what to install without them.

    Only what is missing itself is reworded: an installed library that fails to import,
    or lacks one of its own, says so in its own words.

    Parameters
    ----------
    what
        The beginning of the message: who needs the library, such as ``"a plot"``.
    *libraries
        The top-level names that are imported.
    extra
        The extra of sharpkit that brings them.

    Raises
    ------
    ModuleNotFoundError
        If one of these libraries is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or "").split(".")[0]
        if library not in libraries:
            raise
        msg = f"{what} needs {library}: pip install 'sharpkit[{extra}]'"
        raise ModuleNotFoundError(msg, name=library) from error
