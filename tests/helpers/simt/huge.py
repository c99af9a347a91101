"""The end of vectors that are too long to store: nothing may be counted in 32 bits.

The last block of a launch over ten thousand million numbers is run alone. It gets
pointers so far before its few numbers that these are the end of the vectors.
"""

import numpy as np

import simt

N = 10**10 + 7
LENGTH = 2048  # of a chunk

# Each kernel's numbers per block and arguments after the length.
WRITING = {
    "box_radius": (128, "w eps out"),
    "box_step": (128, "w eps z d eps out null"),
    "box_toward": (128, "w eps z d share null out"),
    "box_free": (128, "w eps z d out"),
    "combine_one": (512, "C w one beta out"),
    "combine_many": (256, "C w one one beta out"),
    "fill_signs": (16384, "out seed seed seed"),
    "fill_normal": (512, "out seed seed seed"),
}
# Each kernel's arguments after the lengths, and what comes of a chunk of w = z = 1/2.
READING = {
    "gram_single": ("w z", None),
    "gram_column": ("w one z", None),
    "gram_square": ("w one z one zero", None),
    "free_gram": ("w one w eps z", None),
    "path_gram": ("w zero w eps z z ts one", None),
    "box_residual": ("w eps z z", 0.5),
    "box_reach": ("w eps z z", 2.0),
}


def _run(name, blocks, arguments):
    last = range(blocks - 1, blocks)
    simt.launch(f"{name}_double", (blocks,), (128,), arguments, blocks=last)


def _values(count, vectors):
    """Return the arguments by name; a vector's few numbers are its last ones."""
    C = np.ones(8)
    ts = np.zeros(1)
    values = {"C": C.ctypes.data, "ts": ts.ctypes.data, "null": 0, "keep": (C, ts)}
    values |= {"eps": np.float64(1), "share": np.float64(0.5), "beta": np.float64(0)}
    values |= {"one": np.int32(1), "zero": np.int32(0), "seed": np.uint64(0)}
    for key, vector in vectors.items():
        values[key] = vector.ctypes.data - 8 * (N - count)
    return values


def write(name):
    per_block, arguments = WRITING[name]
    blocks = -(-N // per_block)
    count = N - (blocks - 1) * per_block
    vectors = {key: np.full(count, 0.5) for key in "wzd"}
    vectors["out"] = np.full(count, np.nan)
    values = _values(count, vectors)
    _run(name, blocks, [np.uint64(N), *(values[key] for key in arguments.split())])
    assert np.isfinite(vectors["out"]).all()
    if name.startswith("combine"):
        np.testing.assert_array_equal(vectors["out"], vectors["w"])


def read(name):
    arguments, want = READING[name]
    chunks = -(-N // LENGTH)
    count = N - (chunks - 1) * LENGTH
    vectors = {key: np.full(count, 0.5) for key in "wz"}
    values = _values(count, vectors)
    # The second pair of rows, which path_gram has, comes a row of chunks later.
    partial = np.full(chunks + 1, np.nan)
    first = partial.ctypes.data - 8 * (chunks - 1)
    lengths = np.uint64(N), np.uint64(LENGTH)
    _run(name, chunks, [*lengths, *(values[k] for k in arguments.split()), first])
    assert partial[0] == (count / 4 if want is None else want)
