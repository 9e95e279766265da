"""`python -m rlaifv.cli` is `rlaifv`."""

from rlaifv.cli import main

if __name__ == "__main__":
    main()
