"""Print the structure of the package by its own imports, and write the table of wings.

    python tools/house.py            # floors, circles, arrows, root entries
    python tools/house.py --write    # the table in README and guide, too

Another folder can be looked at, an older checkout's say: ``python tools/house.py FOLDER``.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.helpers.house import (  # noqa: E402
    circles,
    count_floors,
    guide_table,
    read_house,
    rooms_of,
)

PAGES = (ROOT / "README.md", ROOT / "micam_fast" / "guide" / "house.md")
BEGIN, END = "<!-- house:begin -->", "<!-- house:end -->"


def with_table(text: str) -> str:
    """A page with the table between its marks."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{guide_table()}\n{END}{rest.partition(END)[2]}"


def main(words: list[str]) -> None:
    """Do what the words ask for."""
    if words == ["--write"]:
        words = []
        for page in PAGES:
            page.write_text(with_table(page.read_text(encoding="utf-8")), encoding="utf-8")
    house = read_house(Path(words[0]) if words else ROOT / "micam_fast")
    rooms = rooms_of(house)
    entries = [path for path in house.root.iterdir() if path.name != "__pycache__"]
    found = circles(house.imports)
    print(f"{len(house.files)} modules, {len(entries)} entries at the root")
    print(f"{count_floors(rooms)} floors of entries, {count_floors(house.imports)} of files")
    print(f"{sum(map(len, rooms.values()))} arrows between entries")
    print(f"{len(found)} circles among files, {len(circles(rooms))} among entries")
    for circle in found:
        print(f"  {len(circle)}: {' '.join(circle)}")


if __name__ == "__main__":
    main(sys.argv[1:])
