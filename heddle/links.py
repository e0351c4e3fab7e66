"""Whether this folder is whole: in a checkout, four of its folders are links.

Git makes files of links where the system, mostly Windows, does not let it make links.
"""

from pathlib import Path

if not (Path(__file__).parent / "hw").is_dir():
    raise ImportError(
        "heddle/hw is a file where a link to a folder should be, so this checkout cannot be used: "
        "allow links (Windows: developer mode), then git config core.symlinks true and "
        "git checkout -- heddle; or install a wheel"
    )
