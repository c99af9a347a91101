"""What training scripts save, told apart and renamed to what the model itself says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sharpkit._inputs.names import listed
from sharpkit._inputs.warn import warn

Named = dict[str, Any]

# Where training scripts put model.state_dict() beside the optimiser's.
WRAPPERS = (
    *("state_dict", "model_state_dict", "model", "net", "network", "module"),
    *("model_state", "network_weights", "weights", "params"),
)
# Words in the name of an average of the weights over the training.
AVERAGES = {"ema", "swa", "average", "averaged", "teacher"}
# What wrappers put into names: torch.compile, FSDP, activation checkpoints, and PEFT,
# whose files lack the name of the adapter.
INSERTED = {
    *("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"),
    *("default", "modules_to_save"),
}
# What stands before every name of a model in DataParallel, and of parameters of Flax.
WRAPPED = ("module.", "params.")
COUNTED = {"n_averaged"}  # how many models `AveragedModel` has averaged


def require_mapping(named: Any, example: str) -> None:
    """Raise unless a checkpoint is a mapping.

    Parameters
    ----------
    named
        What was given for one.
    example
        The end of the message: what it may be.

    Raises
    ------
    TypeError
        If it is none.
    """
    if not isinstance(named, Mapping):
        msg = (
            f"named is of type {type(named).__name__}; give a mapping of names to "
            f"arrays, {example}"
        )
        raise TypeError(msg)


def state_in(found: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Return the part of a checkpoint that holds the weights.

    That is a mapping under one of the usual names, or the only mapping of names to
    arrays; otherwise the checkpoint itself.

    Parameters
    ----------
    found
        The whole of what was saved.

    Raises
    ------
    ValueError
        If several parts hold weights, and these differ. The text follows the name of
        the file.
    """
    parts = {name: part for name, part in found.items() if isinstance(part, Mapping)}
    states = {name: part for name, part in parts.items() if name in WRAPPERS}
    if states:
        states |= {name: part for name, part in parts.items() if _average(name, part)}
    else:
        states = {name: part for name, part in parts.items() if _is_state(part)}
    if not states or _is_state(found):
        return found
    first, *others = states
    for other in others:
        if not _same(states[first], states[other]):
            msg = (
                f"holds {' and '.join(map(repr, states))}, which "
                "differ; save the one that is meant alone: torch.save(torch.load(file)"
                f"[{first!r}], other_file), or give that mapping"
            )
            raise ValueError(msg)
    return states[first]


def renamed(
    named: Mapping[Any, Any], known: Mapping[str, list[str]], needed: list[str]
) -> Named:
    """Return the arrays of a checkpoint by the names of the model.

    Prefixes such as ``module.`` and ``net.`` are taken off, and what `INSERTED` lists
    is looked past. Names that fit nothing stay, so that they can be refused.

    Parameters
    ----------
    named
        The arrays by the names of the checkpoint.
    known
        All names of each array of the model, by the first of them.
    needed
        The first names of the arrays that must be there.

    Raises
    ------
    ValueError
        If two parts of the checkpoint fit the model, and differ.

    Warns
    -----
    SharpkitWarning
        If arrays beside the part that fits are left out.
    """
    given = {str(name): value for name, value in named.items()}
    if _complete(given, known, needed):
        return given
    plain = _plain(given)
    fitting = _fitting(plain, known)
    whole = [p for p in fitting if _complete(fitting[p], known, needed)]
    most = max((len(fitting[p]) for p in whole or fitting), default=0)
    best = [p for p in whole or fitting if len(fitting[p]) == most]
    if not best:
        return given
    prefix = min(best, key=len)
    theirs = {name: given[plain[full]] for name, full in fitting[prefix].items()}
    for other in best if whole else ():
        values = {name: given[plain[full]] for name, full in fitting[other].items()}
        if prefix and not _same(theirs, values):
            msg = (
                f"the checkpoint holds this model under {prefix!r} and {other!r}, "
                "which differ; give a mapping of one of both, with the names and "
                "shapes of model.state_dict()"
            )
            raise ValueError(msg)
    used = set(fitting[prefix].values())
    rest = [full for full in plain if full not in used and full not in COUNTED]
    inside = [full for full in rest if full.startswith(prefix)]
    outside = [plain[full] for full in rest if not full.startswith(prefix)]
    if whole and outside:
        warn(
            f"the checkpoint holds the model under {prefix!r}; what stands beside it "
            f"is left out: {listed(outside)}"
        )
        outside = []
    theirs |= {full.removeprefix(prefix): given[plain[full]] for full in inside}
    return theirs | {name: given[name] for name in outside}


def _complete(
    there: Mapping[str, Any], known: Mapping[str, list[str]], needed: list[str]
) -> bool:
    return all(any(each in there for each in known[name]) for name in needed)


def _plain(names: Mapping[str, Any]) -> dict[str, str]:
    """Return names by what is left of them without what wrappers put in."""
    short = {
        ".".join(
            part for part in name.replace("/", ".").split(".") if part not in INSERTED
        ): name
        for name in names
    }
    return short if len(short) == len(names) else {name: name for name in names}


def _fitting(
    given: Mapping[str, str], known: Mapping[str, list[str]]
) -> dict[str, dict[str, str]]:
    """Return by prefix the names of the model, each with the given one that fits."""
    ours = _plain(dict.fromkeys(each for tied in known.values() for each in tied))
    for wrapped in WRAPPED:
        if ours and all(name.startswith(wrapped) for name in ours):
            ours = {name.removeprefix(wrapped): own for name, own in ours.items()}
    found: dict[str, dict[str, str]] = {}
    for name in given:
        parts = name.split(".")
        for cut in range(len(parts)):
            own = ours.get(".".join(parts[cut:]))
            if own is not None:
                prefix = "".join(f"{part}." for part in parts[:cut])
                found.setdefault(prefix, {})[own] = name
    return found


def _average(name: Any, part: Mapping[Any, Any]) -> bool:
    words = str(name).lower().replace(".", "_").split("_")
    return not AVERAGES.isdisjoint(words) and any(map(_is_array, part.values()))


def _is_state(part: Mapping[Any, Any]) -> bool:
    return bool(part) and all(
        isinstance(name, str) and _is_array(value) for name, value in part.items()
    )


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _same(one: Mapping[Any, Any], other: Mapping[Any, Any]) -> bool:
    return one.keys() == other.keys() and all(
        _equal(one[name], other[name]) for name in one
    )


def _equal(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if not (_is_array(one) and _is_array(other)):
        return type(one) is type(other) and one == other
    return tuple(one.shape) == tuple(other.shape) and bool((one == other).all())
