"""Micro-benchmarks on pyperf: each core beside its rivals in one run, with the ratios that matter.

    replbench micro [GROUP...] [--smoke] [pyperf options]

GROUP is one of GROUPS; without one, all of them are measured. ``--smoke`` measures every benchmark once, to
see that it runs. pyperf's own options go through: ``-o cores.json`` writes a file for ``pyperf compare_to``,
``--rigorous`` takes longer.
"""
from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from bench.micro.case import Bar, Case, Measured
from ext import build

GROUPS = {
    "cores": "bench.micro.cores",
    "checker": "bench.micro.checker",
}


def main(arguments: list[str]) -> int:
    """Measure and print the table. Exit code 1 where a full run missed a wanted ratio, 2 for bad input."""
    groups, options = _split(arguments)
    unknown = [group for group in groups if group not in GROUPS]
    if unknown:
        print(f"micro: no group {unknown[0]}: choose from {', '.join(GROUPS)}", file=sys.stderr)
        return 2
    chosen = groups or list(GROUPS)
    modules = [importlib.import_module(GROUPS[group]) for group in chosen]
    smoke = "--smoke" in options
    cases = [case for module in modules for case in module.cases()]
    measured = _measure(_runner(chosen, smoke), options, cases)
    if not measured:
        return 0
    if not build.compiled():
        print("the cores are not compiled here: every figure is of interpreted Python, and no ratio counts")
        return 0
    missed = _report(measured, [bar for module in modules for bar in module.BARS])
    if smoke:
        print("a smoke run: one cold pass of each, which shows that it runs and measures nothing")
    return 1 if missed and not smoke else 0


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """The group names that come first, and pyperf's options after them."""
    first_option = next((at for at, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    return arguments[:first_option], arguments[first_option:]


def _runner(groups: list[str], smoke: bool) -> Any:
    """A pyperf Runner whose workers start as ``python -m bench.micro GROUP...``, however this process did."""
    import pyperf  # takes 50 ms, which no other command should pay

    paths = [str(build.ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    sizes: dict[str, Any] = {"processes": 5, "values": 3, "warmups": 1, "min_time": 0.05}
    if smoke:
        sizes = {"processes": 1, "values": 1, "warmups": 0, "loops": 1}

    def pass_on(command: list[str], options: Any) -> None:
        if options.smoke:
            command.append("--smoke")

    runner = pyperf.Runner(program_args=("-m", "bench.micro", *groups), add_cmdline_args=pass_on, **sizes)
    runner.argparser.add_argument("--smoke", action="store_true", help="measure once, to see that it runs")
    runner.metadata["cores"] = "compiled" if build.compiled() else "interpreted"
    return runner


def _measure(runner: Any, options: list[str], cases: list[Case]) -> list[Measured]:
    """Run the cases; in pyperf's worker processes this runs one of them and gives nothing."""
    settings = runner.parse_args(options if {"-v", "--verbose"} & set(options) else ["--quiet", *options])
    settings.inherit_environ = [*(settings.inherit_environ or []), "REPLBENCH_PURE"]
    measured = []
    for case in cases:
        found = runner.bench_time_func(case.title, case.seconds, inner_loops=case.operations)
        if found is not None and not settings.worker:
            stdev = found.stdev() if found.get_nvalue() > 1 else 0.0
            measured.append(Measured(case, found.mean() * 1e9, stdev * 1e9))
    return measured


def _report(measured: list[Measured], bars: list[Bar]) -> int:
    """Print the table; the number of wanted ratios that were missed."""
    first: dict[str, float] = {}
    for result in measured:
        first.setdefault(result.case.operation, result.mean_ns)
    wanted = {(bar.operation, bar.rival): bar.at_least for bar in bars}
    missed = 0
    print(f"{'':44}{'ns/operation':>16}{'':>12}{'times slower':>14}")
    operation = ""
    for result in measured:
        case = result.case
        if case.operation != operation:
            operation = case.operation
            print(operation)
        ratio = result.mean_ns / first[operation]
        line = f"    {case.rival:40}{result.mean_ns:>16,.1f}{f'±{result.stdev_ns:,.1f}':>12}{ratio:>14.1f}"
        bar = wanted.get((operation, case.rival))
        if bar is not None:
            missed += ratio < bar
            line += f"   wanted {bar:g}: {'met' if ratio >= bar else 'MISSED'}"
        print(line)
    return missed
