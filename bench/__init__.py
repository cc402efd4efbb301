"""Everything around the engines: scenarios, the two worlds, workloads, metrics, plots, the command line."""
import ext  # noqa: F401  (installs the finder of compiled modules)
