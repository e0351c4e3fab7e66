"""`python -m heddle.sw.cli`, which is `heddle`."""

from . import main

main()
