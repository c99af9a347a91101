"""The tests of the CUDA kernels find bugs: small edits of the source, each caught.

Most show when fibers run the kernels; where a result may be right by luck, one thread
for each CUDA thread shows them to ThreadSanitizer, or AddressSanitizer sees a read
outside an array whose value is then not used.
"""

import faulthandler
import importlib
import os
import signal
import subprocess
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import fake_cupy
import kernel_checks as checks
import numpy as np
import pytest
import simt
import step_checks
from simt import build, huge

COMBINE, GRAM = checks.combine, checks.gram
BARRIER = "    __syncthreads();\n    if (thread < half) {"
LAST_BARRIER = "    }\n  }\n  __syncthreads();\n}"
LOOP = "x = tile.begin + threadIdx.x; x < tile.end; x += THREADS"
CLAMP = "first + i < last ? first + i : last"

# What is caught how: a check that fails, or the words of a sanitizer.
RACE, OUTSIDE = "ThreadSanitizer: data race", "ERROR: AddressSanitizer"

SUMS = [
    ("no barrier in the tree", BARRIER, "    if (thread < half) {", GRAM),
    ("no barrier in the tree", BARRIER, "    if (thread < half) {", RACE),
    ("no barrier after it", LAST_BARRIER, "    }\n  }\n}", GRAM),
    ("no barrier after it", LAST_BARRIER, "    }\n  }\n}", RACE),
    ("a barrier for some", BARRIER, "    if (thread < half) {__syncthreads();", GRAM),
    ("shared memory unset", "i < COUNT; ++i) shared[i][thread] =",
     "i < COUNT - (thread > 126); ++i) shared[i][thread] =", GRAM),
    ("half of the tree", "half = THREADS / 2;", "half = THREADS / 4;", GRAM),
    ("index in 32 bits", "static_cast<sk_u64>(blockIdx.x) * THREADS",
     "blockIdx.x * THREADS", partial(huge.write, "box_free")),
    ("one number late", LOOP, LOOP.replace("+ threadIdx", "+ 1 + threadIdx"), GRAM),
    ("numbers left out", LOOP, LOOP.replace("+= THREADS", "+= THREADS + 1"), GRAM),
    ("beyond the end", "smaller(begin + length, n);\n  }", "begin + length;\n  }",
     GRAM),
    ("chunk in 32 bits", "begin = chunk * length",
     "begin = static_cast<int>(chunk * length)", partial(huge.read, "gram_square")),
    ("rows beyond the last", CLAMP, "first + i", OUTSIDE),
    ("steps beyond the last", "ts[own < steps ? own : steps - 1]", "ts[own]", OUTSIDE),
    ("tile one row late", "row = R * i;", "row = R * i + 1;", GRAM),
    ("diagonal left out", "upper ? i + index", "upper ? i + 1 + index", GRAM),
    ("wrong mask", "free ? value[i] : 0.0", "free * value[i]", checks.free_gram),
    ("steps swapped", "value[2 * i] = point.along", "value[2 * i] = point.moved",
     checks.path_gram),
    ("float32 sums", "= sk_fma(a[i], b[j], sum[C * i + j])",
     "= static_cast<float>(sk_fma(a[i], b[j], sum[C * i + j]))", GRAM),
    ("blocks add in any order", "partial[pair * tile.chunks + tile.chunk] = shared",
     "partial[pair * tile.chunks] += shared", RACE),
    ("all threads write", "if (threadIdx.x == 0) *result", "*result", RACE),
]  # fmt: skip

KERNELS = [
    ("NaN lost", "a > b || a != a ? a : b", "a > b ? a : b", checks.box_residual),
    ("NaN lost", "a < b || a != a ? a : b", "a < b ? a : b", checks.box_reach),
    ("lower half not mirrored", "j < i ? j * symmetric + i : pair", "pair", GRAM),
    ("old content used", "beta != 0.0 ? beta * *own : 0.0", "beta * *own", COMBINE),
    ("read beyond the end", "smaller(begin + x * THREADS, n - 1)",
     "(begin + x * THREADS)", OUTSIDE),
    ("written beyond the end", "(place >= n || first + i", "(first + i", COMBINE),
    ("row in 32 bits", "static_cast<sk_u64>(blockIdx.x / tiles) * (W * THREADS)",
     "blockIdx.x / tiles * (W * THREADS)", partial(huge.write, "combine_one")),
    ("one too many", "if (x < n) out[x] = sk_radius", "if (x <= n) out[x] = sk_radius",
     checks.box_radius),
    ("z not within the box", "x_out[x] = w + z", "x_out[x] = z", checks.box_step),
    ("offset left out", "offset / 128 + own_index()", "own_index()", checks.fill_signs),
    ("offset not at a block", "+ i - offset % 128", "+ i", checks.fill_signs),
    ("no barrier", "  __syncthreads();\n  for (int i = threadIdx.x; i < 4 *",
     "  for (int i = threadIdx.x; i < 4 *", checks.fill_normal),
    ("no barrier", "  __syncthreads();\n  for (int i = threadIdx.x; i < 128 *",
     "  for (int i = threadIdx.x; i < 128 *", RACE),
    ("place in 32 bits", "blockIdx.x * (128ull * THREADS)",
     "blockIdx.x * (128u * THREADS)", partial(huge.write, "fill_signs")),
    ("into the next block", "i < 4 * THREADS; i", "i <= 4 * THREADS; i",
     checks.fill_normal),
]  # fmt: skip

SCALARS = [
    ("wall counted as free", "sk_abs(z) >= sk_radius", "sk_abs(z) > sk_radius",
     checks.box_free),
    ("NaN width lost", "return r == r ? inside : r", "return inside", checks.box_step),
    ("fused step", "sk_clip(z + t * d", "sk_clip(static_cast<T>(sk_fma(t, d, z))",
     checks.box_step),
    ("outside the box", "d == d ? sk_clip(static_cast<T>(moved), r)",
     "d == d ? static_cast<T>(moved)", checks.box_toward),
    ("NaN direction lost", "(moved), r) : d;", "(moved), r) : z;", checks.box_toward),
    ("NaN room lost", "return both == both ? sk_infinity() : both",
     "return sk_infinity()", checks.box_reach),
    ("wall not reached", "towards >= r ?", "towards > r ?", checks.path_gram),
    ("radius in another order", "eps * (sk_abs(w) + static_cast<T>(1))",
     "eps * sk_abs(w) + eps", checks.box_radius),
]  # fmt: skip

TRAIN = partial(step_checks.check)

STEPS = [
    ("last chunk too long", "= smaller(length, rows - own.chunk * length)", "= length",
     TRAIN),
    ("last chunk weighs more", "return smaller(length, rows - x / columns * length)",
     "return length", TRAIN),
    ("chunks of one weight", "count(x) * off * off", "off * off", TRAIN),
    ("columns beyond the last", "used && threadIdx.x", "threadIdx.x", TRAIN),
    ("rows beyond the last", "used ? smaller((chunk + 1) * length, rows)",
     "used ? (chunk + 1) * length", OUTSIDE),
    ("NaN lost", "a < 0 ? static_cast<real>(0) : a", "a > 0 ? a : 0", TRAIN),
    ("last largest", "!(row[j] <= row[best])", "!(row[j] < row[best])", TRAIN),
    ("label of no class", "known ? row[label] :", "true ? row[label] :", OUTSIDE),
    ("moment not corrected", "sqrt(v[x] / second)", "sqrt(v[x])", TRAIN),
]  # fmt: skip

BUGS = [
    pytest.param(file, old, new, caught, id=f"{file}-{name}-{i}")
    for file, bugs in (
        ("sums.cuh", SUMS),
        ("kernels.cu", KERNELS),
        ("elementwise.h", SCALARS),
        ("steps.cu", STEPS),
    )
    for i, (name, old, new, caught) in enumerate(bugs)
]


def edited(file, old, new):
    texts = build.sources()
    assert texts[file].count(old) == 1, "the bug's place has changed"
    texts[file] = texts[file].replace(old, new)
    return texts


def compiled(file, old, new, caught):
    """Return the library with a bug, or the command of the program that shows it."""
    texts = edited(file, old, new)
    if caught not in (RACE, OUTSIDE):
        unit = "steps.cu" if caught is TRAIN else "kernels.cu"  # a half to compile
        return build.shared_library(texts, ("double",), (unit,))
    sanitizer = "thread" if caught == RACE else "address"
    return build.sanitizer_program(sanitizer, texts)


@pytest.fixture(scope="module", autouse=True)
def compile_side_by_side(request):
    """Compile for all tests of this file that will run, on all cores."""
    build.shared_library()
    for sanitizer in ("thread", "address"):
        build._threads(sanitizer)
    chosen = [
        item.callspec.params
        for item in request.session.items
        if getattr(item, "originalname", "") == test_a_bug_is_caught.__name__
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for each in [pool.submit(compiled, **params) for params in chosen]:
            each.exception()  # which the bug's own test will raise


def run_check(check, library):
    """Run a check as the tests do, in all orders; return what it says, or ''."""
    sizes = [(259,), (4225,)]
    if check in checks.OF_BLOCKS:
        sizes = [(259, 6), (4225, 5)]
    try:
        with fake_cupy.installed():
            if isinstance(check, partial):
                with simt.using(library=library):
                    check()
                return ""
            kernels = importlib.import_module("sharpkit._vectors.kernels.cuda")
            for size in sizes:
                for nan in (False, True):
                    found = set()
                    for order in simt.ORDERS:
                        with simt.using(order=order, library=library):
                            arrays = checks.Arrays(kernels, np.float64)
                            found.add(check(kernels, arrays, *size, nan=nan))
                    assert len(found) == 1, "the bits depend on the order"
    except Exception as error:  # none is raised without the bug, as a test makes sure
        return repr(error)
    return ""


def verdict(check, library):
    """Return what a check says in a process of its own: a bug may end the process."""
    with tempfile.TemporaryFile() as answer:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of forking beside threads, which sleep
            child = os.fork()
        if child == 0:
            answer_and_leave(check, library, answer)
        _, status = os.waitpid(child, 0)
        answer.seek(0)
        said = answer.read().decode() or f"signal {status}"
    assert said not in ("the check itself failed", f"signal {int(signal.SIGALRM)}")
    return said


def answer_and_leave(check, library, answer):
    said = "the check itself failed"
    try:
        faulthandler.disable()
        signal.alarm(60)
        said = run_check(check, library) or "nothing found"
    finally:
        answer.write(said.encode())
        answer.flush()
        os._exit(0)


def sanitized(command):
    """Return the exit status and the words of a program under a sanitizer."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("sanitizer", ["thread", "address,undefined"])
def test_sanitizers_find_nothing(sanitizer):
    command = build.sanitizer_program(sanitizer, build.sources())
    assert sanitized(command) == (0, "all kernels have run\n")


@pytest.mark.parametrize(
    "check", [*checks.OF_BLOCKS, *checks.OF_VECTORS, *checks.FILLS, TRAIN]
)
def test_checks_find_nothing(check):
    assert verdict(check, build.shared_library()) == "nothing found"


@pytest.mark.parametrize(("file", "old", "new", "caught"), BUGS)
def test_a_bug_is_caught(file, old, new, caught):
    made = compiled(file, old, new, caught)
    if caught in (RACE, OUTSIDE):
        status, said = sanitized(made)
        assert status != 0
        assert caught in said
    else:
        assert verdict(caught, made) != "nothing found"
