"""Whether a folder's contents may be run as code: nobody else can have put them there."""

import os
import stat
from pathlib import Path

from ..errors import DataError

_HERE = Path(__file__).resolve()


def check_trusted(folder: Path) -> None:
    """Raise `DataError` if another user could change what is in `folder`, an absolute path.

    Looked at are the owner and the mode of it and of every folder above it. A folder like /tmp,
    where everybody can add names but take away only his own, is right above it, not for itself.
    Trusted are this user, the system's and the owner of this very code. On Windows, where modes
    say nothing, every folder is.
    """
    if os.name == "nt":
        return
    for place in (folder, *folder.parents):
        found = place.lstat()
        sticky = place != folder and found.st_mode & stat.S_ISVTX
        if not stat.S_ISDIR(found.st_mode):
            reason = "it is no folder"
        elif found.st_uid not in (os.geteuid(), 0, _HERE.stat().st_uid):
            reason = "it belongs to another user"
        elif not sticky and _others_write(found):
            reason = f"other users can write to it (mode {stat.S_IMODE(found.st_mode):o})"
        else:
            continue
        raise DataError(
            f"what is in {folder} is not run as code because of {place}: {reason}; take others' "
            "right to write away (chmod go-w), or name another folder by HEDDLE_CACHE"
        )


def _others_write(found: os.stat_result) -> bool:
    """Whether anybody but the owner may write, a group of the owner's own left aside."""
    if found.st_mode & stat.S_IWOTH:
        return True
    return bool(found.st_mode & stat.S_IWGRP) and not _private(found)


def _private(found: os.stat_result) -> bool:
    """Whether the group is the owner's alone, as many systems make one for each user."""
    import grp
    import pwd

    try:
        user, group = pwd.getpwuid(found.st_uid), grp.getgrgid(found.st_gid)
    except KeyError:
        return False
    return user.pw_name == group.gr_name and set(group.gr_mem) <= {user.pw_name}
