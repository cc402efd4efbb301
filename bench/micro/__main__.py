"""What pyperf's worker processes are started as."""
import sys

from bench.micro import main

sys.exit(main(sys.argv[1:]))
