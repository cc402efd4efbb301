"""Compile every module that has a .pxd beside its .py: the .pxd is the C contract, the .py the readable source."""
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

sys.path.insert(0, str(Path(__file__).parent))
from ext import build

# Nothing that was made by other settings than these is of use.
ALL = not build.STAMP.exists() or build.STAMP.stat().st_mtime < Path(__file__).stat().st_mtime


class BuildAndStamp(build_ext):
    """Build the extensions, then note which sources they were built from (see ext/build.py)."""

    def initialize_options(self):
        super().initialize_options()
        self.parallel = 2
        self.force = ALL

    def run(self):
        if self.editable_mode:  # `pip install --editable` would compile everything a second time, elsewhere
            return
        super().run()
        build.write_stamp()


setup(
    cmdclass={"build_ext": BuildAndStamp},
    ext_modules=cythonize(
        [
            Extension(module, [str(source)], extra_compile_args=["-O2", "-g0", "-Wno-sign-compare"])
            for module, source in build.sources().items()
        ],
        build_dir="build/cython",
        nthreads=2,
        force=ALL,
        show_all_warnings=False,
        compiler_directives={
            "language_level": 3, "annotation_typing": False, "embedsignature": True, "binding": False, "auto_pickle": False,
        },
    ),
)
