"""Micro-benchmarks: each core, and the simulator, beside its rivals in one run, with the ratios that matter; the clients alone,
and the floor of a commit.

    replbench micro [GROUP...] [--smoke] [pyperf options]

GROUP is one of GROUPS; without one, all of them are measured. ``--smoke`` measures every benchmark once, to
see that it runs. The cores are measured by pyperf, whose own options go through: ``-o cores.json`` writes a file
for ``pyperf compare_to``, ``--rigorous`` takes longer. The simulator takes turns with its rivals; the client processes of real
runs are measured against a server that answers at once.
"""
from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from bench.micro.case import Bar, Case, Measured
from bench.scenario import nearest
from ext import build

# A module of a group has ``cases()`` and ``BARS`` for pyperf, or a ``compare(smoke)`` of its own.
GROUPS = {
    "cores": "bench.micro.cores",
    "simulation": "bench.micro.simulation",
    "checker": "bench.micro.checker",
    "clients": "bench.micro.clients",
    "floor": "bench.micro.floor",
}


def main(arguments: list[str]) -> int:
    """Measure and print the table. Exit code 1 where a full run missed a wanted ratio, 2 for bad input."""
    groups, options = _split(arguments)
    unknown = [group for group in groups if group not in GROUPS]
    if unknown:
        print(f'replbench: micro: there is no group "{unknown[0]}"; {nearest(unknown[0], GROUPS)}', file=sys.stderr)
        return 2
    chosen = groups or list(GROUPS)
    modules = {group: importlib.import_module(GROUPS[group]) for group in chosen}
    on_pyperf = {group: module for group, module in modules.items() if hasattr(module, "cases")}
    smoke = "--smoke" in options
    if not on_pyperf and set(options) - {"--smoke"}:
        of = ", ".join(chosen)
        print(f"replbench: micro: {of} takes no option but --smoke; leave out those of pyperf", file=sys.stderr)
        return 2
    measured: list[Measured] = []
    if on_pyperf:
        cases = [case for module in on_pyperf.values() for case in module.cases()]
        measured = _measure(_runner(list(on_pyperf), smoke), options, cases)
        if not measured:
            return 0
    if not build.compiled():
        print("the cores are not compiled here: every figure is of interpreted Python, and no ratio counts")
        return 0
    missed = _report(measured, [bar for module in on_pyperf.values() for bar in module.BARS]) if measured else 0
    missed += sum(module.compare(smoke) for group, module in modules.items() if group not in on_pyperf)
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
