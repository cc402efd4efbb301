# Compiled as it stands: it handles whole Python numbers, but its loops need no interpreter.
