"""What of CuPy the stand-in has, by name; a test compares it with CuPy itself."""

import numpy as np

ARITHMETIC = dict(
    pair.split(":")
    for pair in (
        "add:add sub:subtract mul:multiply truediv:true_divide mod:remainder pow:power "
        "floordiv:floor_divide matmul:matmul and:bitwise_and or:bitwise_or "
        "xor:bitwise_xor lshift:left_shift rshift:right_shift"
    ).split()
)
COMPARISONS = {
    "eq": "equal",
    "ne": "not_equal",
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
}
UNARY = {"neg": "negative", "abs": "absolute", "invert": "invert"}
TO_HOST = {
    "__bool__": bool,
    "__int__": int,
    "__float__": float,
    "__complex__": complex,
    "__repr__": repr,
    "__str__": str,
    "__format__": format,
    "item": np.ndarray.item,
    "tolist": np.ndarray.tolist,
    "tobytes": np.ndarray.tobytes,
}
METHODS = (
    "all any argmax argmin argsort astype clip copy cumsum diagonal dot flatten max "
    "mean min prod ravel repeat reshape round squeeze std sum swapaxes take trace "
    "transpose var view"
).split()
UFUNCS = (
    "abs ceil copysign cos divide exp exp2 expm1 floor fmax fmin hypot isfinite isinf "
    "isnan log log10 log1p log2 logical_and logical_not logical_or logical_xor maximum "
    "minimum mod nextafter reciprocal rint sign signbit sin sqrt square tanh trunc"
).split()
FUNCTIONS = (
    "all allclose amax amin any argmax argmin argsort array_equal ascontiguousarray "
    "bincount broadcast_to clip concatenate copyto count_nonzero cumsum diag dot "
    "einsum expand_dims flatnonzero flip full_like hstack inner isclose max mean "
    "min nan_to_num nonzero ones_like outer packbits prod ravel repeat reshape roll "
    "searchsorted sort squeeze stack std sum take take_along_axis tensordot tile "
    "trace transpose unique unpackbits var vdot vstack where zeros_like"
).split()
CREATORS = "arange eye full linspace ones zeros".split()
HOST_VALUES = "can_cast ndim promote_types result_type shape size".split()
CONSTANTS = (
    "bool_ complex128 complex64 dtype e finfo float16 float32 float64 generic iinfo "
    "inf int16 int32 int64 int8 intp nan newaxis pi uint16 uint32 uint64 uint8 uintp"
).split()
