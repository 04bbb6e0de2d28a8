"""The process in which memory is measured: a folder to open in every line of standard input, an answer in a line."""

import sys

from smaller.study.timing.memory import serve

serve(sys.stdin, sys.stdout)
