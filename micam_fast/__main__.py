"""``python -m micam_fast``."""

from micam_fast.cli import main

if __name__ == "__main__":
    main(prog_name="micam-fast")
