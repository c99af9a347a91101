"""The iterations of L-BFGS-B: Cauchy point, subspace minimum, line search, new pair."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sharpkit._box.box import Box, Point
from sharpkit._box.lbfgsb.cauchy import CauchyPoint, cauchy_point
from sharpkit._box.lbfgsb.compact import Compact
from sharpkit._box.lbfgsb.line_search import Trial, search
from sharpkit._inputs.types import Array

STEP, SLOPE = 0, 1  # rows of the work block; the pairs follow them


class Run:
    """One run from the centre of the box.

    Its vectors are ``z``, where it is; ``_new``, where it goes; ``_spare``, first for
    the Newton step and then for the first trial; and a block of two rows, the step and
    the gradient, before those of the pairs, so that one pass takes products or
    combinations of them all.

    Parameters
    ----------
    box
        The problem; the run takes over the vectors of its centre.
    scale
        The factor c of the loss: ``-c f(z)`` is minimised.
    memory
        The number of pairs that are kept.

    Attributes
    ----------
    z : vector of the search space
        Where the run is.
    loss : float
        The loss f there.
    """

    def __init__(self, box: Box, *, scale: float, memory: int) -> None:
        self._box, self._scale = box, scale
        space = box.space
        self._block = space.empty(2 + 2 * memory)
        self._model = Compact(space, self._block[2:])
        self.z, self.loss = box.centre.z, box.centre.loss
        self._new, self._spare = box.centre.gradient, space.empty()
        self._take_gradient(box.centre.gradient)
        # A rejected trial that no accepted point has reached.
        self._missed: Point | None = None
        self._iterations = 0

    def iterates(self, decrease: float, gradient: float) -> Iterator[float]:
        """Yield the loss after each iteration, until one of the tolerances is met.

        Parameters
        ----------
        decrease
            The decrease of one iteration, as a share of ``max(|c f|, 1)``, at which the
            run ends.
        gradient
            The largest component of the projected gradient of ``c f`` at which it ends.

        Yields
        ------
        float
            The loss.
        """
        while self._residual() > gradient:
            before = self.loss
            if not self._iterate():
                if not len(self._model.rows) or not self._box.left:
                    return
                self._model.forget()
                continue
            yield self.loss
            least = max(abs(self._scale * before), abs(self._scale * self.loss), 1.0)
            if self._scale * (self.loss - before) <= decrease * least:
                return

    def best(self) -> Point:
        """Return the best point of the run; this ends it."""
        if self._missed is not None and self._missed.loss > self.loss:
            return self._missed
        self._box.space.copy(self._block[SLOPE], self._new, 1 / self._scale)
        return Point(self.z, self.loss, self._new)

    def _iterate(self) -> bool:
        """Go one iteration; return False, and stay, if the line search fails."""
        slope = self._minimise_model()
        if not slope < 0:
            return False
        self._trials: list[tuple[float, float]] = []  # step and loss
        start = Trial(0.0, -self._scale * self.loss, slope)
        trial = search(self._evaluate, start, self._reach)
        self._keep_better(trial)
        if trial is None:
            return False
        self._remember(trial, start)
        self.z, self._new = self._new, self.z
        self.loss = self._found.loss
        self._take_gradient(self._found.gradient)
        self._iterations += 1
        return True

    def _minimise_model(self) -> float:
        """Write the minimiser of the model in the box to ``_new``, and the step there.

        First along the gradient's path, then over the coordinates that are free at its
        Cauchy point (section 5.1, the direct primal method), projected (Morales and
        Nocedal 2011). Return the slope of ``-c f`` along the step.
        """
        box, model, gradient = self._box, self._model, self._block[SLOPE]
        cauchy = cauchy_point(box, model, self.z, gradient)
        box.step(self.z, gradient, cauchy.t, self._new)
        slope = self._set_step()
        if not len(model.rows):
            return slope
        try:
            self._newton_step(cauchy)
        except np.linalg.LinAlgError:
            model.forget()
            return self._minimise_model()
        box.step(self._new, self._spare, 1.0, self._new)
        slope = self._set_step()
        if slope > 0:  # projected uphill: go as far as the box allows instead
            box.step(self.z, gradient, cauchy.t, self._new)
            reach = box.reach(self._new, self._spare)
            box.step(self._new, self._spare, min(reach, 1.0), self._new)
            slope = self._set_step()
        return slope

    def _newton_step(self, cauchy: CauchyPoint) -> None:
        """Write the model's Newton step from the Cauchy point to ``_spare``.

        With ``u`` the step to the Cauchy point, the model's gradient there is
        ``r = -g + theta u - W M W^T u``, and on the free coordinates the step is
        ``-r / theta - W v / theta^2`` with v from `Compact.solve_free`.
        """
        box, model, scale = self._box, self._model, self._model.scale
        rows = self._block[: 2 + len(model.rows)]
        gram = box.space.free_gram(rows, box.anchor, box.epsilon, self._new)
        free = scale[:, None] * gram[2:, 2:] * scale
        turned = model.middle(cauchy.along)
        seen = scale * (model.theta * gram[2:, STEP] - gram[2:, SLOPE])  # W^T r, ...
        inner = model.solve_free(seen - free @ turned, free)
        factors = np.empty((1, len(rows)))
        factors[0, STEP], factors[0, SLOPE] = -1.0, 1 / model.theta
        factors[0, 2:] = scale * (turned - inner / model.theta) / model.theta
        box.space.combine(factors, rows, self._spare[None])
        box.keep_free(self._new, self._spare)

    def _set_step(self) -> float:
        """Write the step from ``z`` to ``_new``; return the slope along it."""
        space, step = self._box.space, self._block[STEP]
        space.copy(self._new, step)
        space.add(self.z, step, -1.0)
        return -space.dot(step, self._block[SLOPE])

    def _evaluate(self, step: float) -> Trial | None:
        if not self._box.left:
            return None
        if not self._trials:  # at 1, the model's minimum itself: on walls exactly
            self._found = self._box.evaluate(self._new, self._new, 0.0)
        else:
            if len(self._trials) == 1:
                self._new, self._spare = self._spare, self._new
            self._found = self._box.evaluate(self.z, self._block[STEP], step, self._new)
        loss, slope = self._found.loss, 0.0
        if np.isfinite(loss):
            slope = -self._box.space.dot(self._found.gradient, self._block[STEP])
        self._trials.append((step, loss))
        return Trial(step, -self._scale * loss, self._scale * slope)

    def _reach(self) -> float:
        """Return the longest step of the line search, as the authors' code has it."""
        if self._iterations == 0:
            return 1.0
        return self._box.reach(self.z, self._block[STEP])

    def _keep_better(self, accepted: Trial | None) -> None:
        """Keep the best trial where no point reached so far is as good."""
        reached = [self.loss]
        if accepted is not None:
            reached.append(self._found.loss)
        if self._missed is not None:
            reached.append(self._missed.loss)
        losses = [loss for _, loss in self._trials]
        if max(losses, default=-np.inf) <= max(reached):
            return
        space, index = self._box.space, int(np.argmax(losses))
        last = len(losses) - 1
        point = Point(space.empty(), losses[index], space.empty())
        if index == last:
            space.copy(self._new, point.z)
            space.copy(self._found.gradient, point.gradient)
        else:
            if index == 0:
                space.copy(self._spare, point.z)
            else:
                step = self._trials[index][0]
                self._box.step(self.z, self._block[STEP], step, point.z)
            point.gradient.fill(np.nan)  # it is gone
        self._missed = point

    def _remember(self, trial: Trial, start: Trial) -> None:
        """Add the pair of this step to the model, if the slope has increased."""
        curvature = (trial.slope - start.slope) * trial.step
        if curvature <= np.finfo(np.float64).eps * -start.slope * trial.step:
            return
        space, pair = self._box.space, self._model.next_pair()
        # y = gradient before - gradient now, of c f: the model is one of -c f.
        space.combine([[0.0, 1.0], [trial.step, 0.0]], self._block[:2], pair)
        space.add(self._found.gradient, pair[0], -self._scale)
        self._model.add()

    def _take_gradient(self, gradient: Array) -> None:
        self._box.space.copy(gradient, self._block[SLOPE], self._scale)

    def _residual(self) -> float:
        box = self._box
        return box.space.box_residual(
            box.anchor, box.epsilon, self.z, self._block[SLOPE]
        )
