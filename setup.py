"""Build the one C++ extension and pack the CUDA source; see also pyproject.toml."""

import shutil
import sys
import sysconfig
from pathlib import Path

from pybind11.setup_helpers import Pybind11Extension, build_ext
from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.errors import CCompilerError, CompileError

NEEDS = "sharpkit builds a small C++17 extension"
# -ffp-contract=off keeps random numbers the same on every processor. The two options
# after it allow vector code and change no result. pybind11 adds -fvisibility=hidden.
FLAGS = ["-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]


PRODUCTS = [
    "csrc/products.cpp",
    *(f"csrc/products_{isa}.cpp" for isa in ("base", "avx2", "avx512")),
]

# Compiled where it runs, by CuPy: sharpkit._vectors.launching looks for these in the
# package, and in a checkout or an editable installation here.
CUDA = ["csrc/elementwise.h", "csrc/sums.cuh", "csrc/kernels.cu", "csrc/steps.cu"]


class Pack(build_py):
    """Copy the CUDA source into the package that is built."""

    def run(self) -> None:
        """Build the package's Python files, then copy."""
        super().run()
        if not self.editable_mode:
            for source, target in self._targets().items():
                self.mkpath(str(Path(target).parent))
                self.copy_file(source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """Return what is built, these files too."""
        return [*super().get_outputs(include_bytecode), *self._targets().values()]

    def _targets(self) -> dict[str, str]:
        return {name: str(Path(self.build_lib, "sharpkit", name)) for name in CUDA}


class Build(build_ext):
    """Say what is missing before the compiler fails, and compile only what changed."""

    def build_extensions(self) -> None:
        """Compile, or raise an error that names the packages to install."""
        if sys.platform != "win32":
            self._check_tools()
        try:
            super().build_extensions()
        except CCompilerError as error:
            msg = f"{NEEDS}, and the compiler failed (its output is above): {error}"
            raise CompileError(msg) from error

    def build_extension(self, ext: Pybind11Extension) -> None:
        """Compile, where an editable installation has not what was built before."""
        target = Path(self.get_ext_fullpath(ext.name))
        before = Path("sharpkit", target.name)
        if self.editable_mode and before.is_file():
            self.mkpath(str(target.parent))
            shutil.copy2(before, target)  # as old as it is: newer sources are compiled
        super().build_extension(ext)

    def _check_tools(self) -> None:
        compiler = self.compiler.compiler_so_cxx[0]
        missing = []
        if shutil.which(compiler) is None:
            missing.append(f"a C++ compiler ({compiler!r} is not on the PATH)")
        headers = [sysconfig.get_path(key) for key in ("include", "platinclude")]
        if not any(Path(folder, "Python.h").is_file() for folder in headers):
            missing.append(f"Python's headers (no Python.h in {headers[0]})")
        if missing:
            msg = (
                f"{NEEDS}, but this machine lacks {' and '.join(missing)}.\n"
                "On Debian or Ubuntu: sudo apt-get install g++ python3-dev"
            )
            raise CompileError(msg)


setup(
    ext_modules=[
        Pybind11Extension(
            "sharpkit._native",
            sources=["csrc/bindings.cpp", "csrc/random.cpp", *PRODUCTS],
            depends=[
                "setup.py",
                "csrc/elementwise.h",
                "csrc/products.h",
                "csrc/products.inc",
                "csrc/random.h",
                "csrc/rows.h",
            ],
            include_dirs=["csrc"],
            cxx_std=17,
            extra_compile_args=(
                ["/O2", "/fp:precise"] if sys.platform == "win32" else FLAGS
            ),
        )
    ],
    cmdclass={"build_ext": Build, "build_py": Pack},
)
