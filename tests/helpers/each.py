"""Many cases in one test: quicker than a test for each, and as plain when one fails."""

from __future__ import annotations

import functools
import inspect
import itertools


def each(**axes):
    """Call a test for every combination of values, all of them within one test.

    The cases share the fixtures of the test; a note tells which case has failed.
    """

    def decorate(test):
        @functools.wraps(test)
        def run(**fixtures):
            for values in itertools.product(*axes.values()):
                case = dict(zip(axes, values, strict=True))
                try:
                    test(**case, **fixtures)
                except BaseException as error:
                    error.add_note(f"in the case {case}")
                    raise

        signature = inspect.signature(test)
        fixtures = [p for p in signature.parameters.values() if p.name not in axes]
        run.__signature__ = signature.replace(parameters=fixtures)
        return run

    return decorate
