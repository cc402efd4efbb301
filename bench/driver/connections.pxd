cimport cython

from bench.driver.frames cimport Frames

# What a loop calls for every piece of bytes is compiled; a Connection itself stays an ordinary class, as the loops' Protocol is.
