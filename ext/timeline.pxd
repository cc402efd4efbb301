# Compiled as it stands: it handles whole Python numbers, and the compiler takes the interpreter out of its loops.
