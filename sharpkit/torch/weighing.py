"""What a batch counts where the loss does not say so: read, tried, or asked for."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from itertools import islice
from typing import Any, NamedTuple

import torch

from sharpkit._inputs.warn import warn
from sharpkit._inputs.weighing import (
    ADDS_UP,
    MAPPING,
    NO_MEAN,
    UNKNOWN,
    Split,
    Verdict,
    few,
    halves,
    judged,
)
from sharpkit.torch.batches import Batches, rows
from sharpkit.torch.cuts import counts, cut, lengths
from sharpkit.torch.denominators import READ, number_at, steps

Evaluate = Callable[[Any], Any]  # a batch -> its mean loss, with a graph
ROWS = "the rows"
TRIES = 4  # lengths that may be the number of samples
FURTHER = 3  # batches that are looked at if the first says nothing
TENSOR_FLOAT = 2.0**-14  # about, on average, where matrices are rounded to 10 bits
SAME = 1e-9  # relative; two numbers are in step with each other


class Weighing:
    """The weights of batches, in numbers of rows of the first batch.

    What the loss divides by is read from its graph, and the first batch is held against
    its halves, once: only what explains the losses of all parts is the weight. Where
    nothing can be read, numbers of the batch itself are tried, and tried again at the
    first batch at which those that explained the first differ.

    Parameters
    ----------
    batches
        The data.
    """

    def __init__(self, batches: Batches) -> None:
        self._batches = batches
        self._name: str | None = None
        self._rows = self._unit = 1.0
        self._rivals: dict[str, float] = {}  # what fits as well, in the first batch

    def over(self, batches: Batches) -> Weighing:
        """Return the weights of other batches of the same data, as far as known."""
        other = copy.copy(self)
        other._batches = batches
        return other

    def settled(self, batch: Any) -> bool:
        """Return whether the weight of a batch is known without a trial."""
        return self._name is not None and not self._differ(batch)

    def weight(self, loss: Any, batch: Any) -> float:
        """Return the weight of a batch.

        Parameters
        ----------
        loss
            Its loss, with a graph.
        batch
            The batch.

        Raises
        ------
        ValueError
            If the loss of this batch is not computed as that of the first.
        """
        assert self._name is not None  # settled before
        if self._name == ROWS:
            return _rows(batch, None if self._batches.several else 1.0)
        found = _number(self._name, loss, batch)
        if found is None:
            msg = (
                "the loss of a batch is computed in another way than that of the first "
                f"batch, so that what it counts is unknown; {MAPPING}"
            )
            raise ValueError(msg)
        return found * self._rows / self._unit

    def settle(self, loss: Any, batch: Any, evaluate: Evaluate | None) -> bool:
        """Find out what batches count; return whether anything counts in this one.

        Parameters
        ----------
        loss
            The loss of this batch, with a graph.
        batch
            The batch.
        evaluate
            A function that returns the loss of other batches; None where the loss of a
            part says nothing about that of the whole.

        Raises
        ------
        ValueError
            If the loss is a sum.
        """
        path = list(steps(loss))
        read = [step for step in path if step.number is not None]
        mean = bool(read) and read[0].mean
        if mean and not read[0].number:
            return False
        if not self._batches.several:
            if evaluate and not (mean and not any(step.sums for step in path)):
                _tried(batch, evaluate)
            self._name = ROWS
            return True
        tried = self._telling(batch, evaluate) if evaluate else None
        if tried and tried.verdict.fits:
            self._require_rows_cut(tried.name)
            self._choose(tried, batch)
            return True
        if tried and tried.verdict.clear and tried.whole:
            warn(NO_MEAN)
        elif evaluate and not mean:
            warn(UNKNOWN)
        self._rivals = {}
        if self._name is None:
            self._name = read[0].place if mean else ROWS
            self._rows = _rows(batch, 1.0)
            self._unit = (read[0].number if mean else None) or 1.0
        return True

    def _telling(self, batch: Any, evaluate: Evaluate) -> Tried | None:
        """Return what a batch tells, or else, if its parts are all alike, another."""
        first = _tried(batch, evaluate)
        if first is None or first.verdict.tells or first.verdict.noisy:
            return first
        if getattr(self._batches.data, "persistent_workers", False):
            return first  # which serve one pass at a time
        for other in islice(self._batches.bare(), 1, 1 + FURTHER):
            found = _tried(other, evaluate)
            if found is not None and found.verdict.tells:
                return found
        return first

    def _choose(self, tried: Tried, batch: Any) -> None:
        fits, numbers = tried.verdict.fits, tried.numbers
        if self._name is None:
            read = [name for name in fits if name.startswith(READ)]
            self._rows = numbers[ROWS] or 1.0
            self._name = read[0] if read else ROWS if ROWS in fits else fits[0]
            self._unit = numbers[self._name]
            if not read:
                own = counts(batch)
                self._rivals = {name: numbers[name] for name in fits if name in own}
            return
        self._rivals = {name: x for name, x in self._rivals.items() if name in fits}
        if self._differ(batch):
            warn(UNKNOWN)
            self._rivals = {}
        elif self._rivals and self._name not in fits:
            self._name, self._unit = next(iter(self._rivals.items()))

    def _differ(self, batch: Any) -> bool:
        if not self._rivals:
            return False
        own = counts(batch)
        shares = [own[name]() / first for name, first in self._rivals.items()]
        return max(shares) - min(shares) > SAME * max(shares)

    def _require_rows_cut(self, name: str) -> None:
        if self._batches.cuts_rows and name.startswith("dimension 1"):
            msg = (
                "the samples of data stand along the second dimension, and micro_batch "
                "cuts the first; give a list of batches instead"
            )
            raise ValueError(msg)


class Tried(NamedTuple):
    """What a trial tells.

    Attributes
    ----------
    verdict : Verdict
        What fits.
    whole : bool
        Whether all in the batch was cut.
    name : str
        What was taken for the number of samples.
    numbers : dict of str to float
        What the samples that were looked at may count.
    only_sums : bool
        Whether the graph of the loss ends in sums alone.
    """

    verdict: Verdict
    whole: bool
    name: str
    numbers: dict[str, float]
    only_sums: bool


def _tried(batch: Any, evaluate: Evaluate) -> Tried | None:
    """Return what a batch and its parts tell, with each possible number of samples."""
    tried: dict[int, Tried | None] = {}
    for name, length in ({ROWS: int(_rows(batch, 0))} | lengths(batch)).items():
        if length < 2 or length in tried or len(tried) == TRIES:
            continue
        trial = _Trial(batch, length, evaluate, name=name)
        try:
            found = tried[length] = trial.run()
        except Exception:  # a loss may need all of its batch
            tried[length] = None
            continue
        if found.verdict.fits and not _is_sum(found):
            return found
    told = [found for found in tried.values() if found]
    if any(_is_sum(found) for found in told):
        raise ValueError(ADDS_UP)
    return next(iter(told), None)


def _is_sum(found: Tried) -> bool:
    verdict = found.verdict
    if verdict.noisy:  # noise hides what the parts tell; the graph does not
        return found.only_sums
    return verdict.adds_up and verdict.clear


class _Trial:
    """The losses of some samples of a batch, and of parts of them."""

    def __init__(
        self, batch: Any, length: int, evaluate: Evaluate, *, name: str
    ) -> None:
        self._batch, self._length = batch, length
        self._evaluate, self._name = evaluate, name
        self._some = few(length)
        self._whole, self._eps, self._only_sums = True, 0.0, True

    def run(self) -> Tried:
        places = list(range(len(self._some)))
        with torch.autograd.graph.saved_tensors_hooks(self._seen, lambda x: x):
            loss, numbers = self._part(places)
        same = self._part(places)[0], self._part(places[::-1])[0]
        splits = []
        for one, other in halves(len(places)):
            (f, m), (g, n) = self._part(one), self._part(other)
            shares = {
                name: (number, m.get(name, 0.0), n.get(name, 0.0))
                for name, number in numbers.items()
            }
            splits.append(Split(loss, f, g, shares))
        noise = max(abs(loss - x) for x in same)
        verdict = judged(splits, self._eps, noise)
        return Tried(verdict, self._whole, self._name, numbers, self._only_sums)

    def _part(self, places: list[int]) -> tuple[float, dict[str, float]]:
        chosen = [self._some[place] for place in places]
        lists = self._name.startswith("the length")
        part, whole = cut(self._batch, self._length, chosen, lists=lists)
        self._whole = self._whole and whole
        numbers = {ROWS: _rows(part, 0)}
        numbers |= {name: count() for name, count in counts(part).items()}
        with warnings.catch_warnings(action="ignore"):
            loss = self._evaluate(part)
        path = list(steps(loss))
        read = {step.place: step.number for step in path}
        others = any(step.other or step.number is not None for step in path)
        self._only_sums = not others and any(step.sums for step in path)
        known = {name: number for name, number in read.items() if number is not None}
        return float(loss.detach()), known | numbers

    def _seen(self, tensor: Any) -> Any:
        # Rounding is that of the coarsest dtype on the way, as of autocast.
        if tensor.is_floating_point():
            single = tensor.is_cuda and tensor.dtype is torch.float32
            eps = TENSOR_FLOAT if single else torch.finfo(tensor.dtype).eps
            self._eps = max(self._eps, eps)
        return tensor


def _number(name: str, loss: Any, batch: Any) -> float | None:
    if name.startswith(READ):
        return number_at(loss, name)
    count = counts(batch).get(name)
    return None if count is None else count()


def _rows(batch: Any, without: float | None) -> float:
    try:
        return float(rows(batch))
    except TypeError:
        if without is None:
            raise
        return without
