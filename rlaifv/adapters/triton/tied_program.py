"""Becomes a program that dies with the process that started it: `python -m rlaifv.adapters.triton.tied_program PARENT PROGRAM …`.

As tied_process, for a program that is not Python: the kernel's promise outlives exec.
"""

from __future__ import annotations

import os
import sys

from rlaifv.adapters.tied_process import tie_to

if __name__ == "__main__":
    parent, program, *arguments = sys.argv[1:]
    tie_to(int(parent))
    os.execv(program, [program, *arguments])
