"""Find the cameras of people's folders: in the names of the folders inside them, or in the names of the files.

A folder inside a person's is a camera if it is named like one, or if it is inside the folders of several people, as
cameras are. Times, tracks and parts of the body are not cameras.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from scing_cli.core.datasets.file_names import Stated, plain_number, same_number, stated
from scing_cli.core.datasets.folder_names import (
    IDENTITY_NUMBER,
    are_people,
    is_aside,
    is_camera,
    is_place,
    listed,
    looks_like_camera,
    may_be_several,
)
from scing_cli.core.errors import spelled

SHORT_NUMBER = re.compile("[0-9]{1,2}")
SUBJECT = re.compile("s[0-9]+", re.IGNORECASE)  # of a study, or a session of one person
Levels = Sequence[str]
"""A person's folder, the folders inside, and the file's name."""


@dataclasses.dataclass(frozen=True, slots=True)
class CameraFolders:
    """Which folders are cameras.

    Args:
        names: Their names; the first of a file's folders that has one of them is its camera.
        named: Whether all of them are named like cameras or places.
        doubt: Why this reading is doubtful; empty if it is not.
    """

    names: frozenset[str] = frozenset()
    named: bool = False
    doubt: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Cameras:
    """How the cameras of files in people's folders are read.

    Args:
        folders: The names of folders that are cameras.
        by_file: Whether the names of the files state the cameras instead.
        doubt: Why this reading is doubtful, as a clause about people's folders; empty if it is not.
        notes: Notes for the user about the reading.
    """

    folders: frozenset[str] = frozenset()
    by_file: bool = False
    doubt: str = ""
    notes: tuple[str, ...] = ()

    def of(self, levels: Levels) -> str:
        """Return the camera of a file; empty if it is not known."""
        if self.by_file:
            return stated(levels[-1], levels[0]).camera
        return next((name for name in levels[1:-1] if name in self.folders), "")


def find_cameras(files: Iterable[Levels]) -> Cameras:
    """Return how to read the cameras of files in people's folders.

    Args:
        files: The levels of each file; files that are in no person's folder are left out.
    """
    files = [levels for levels in files if len(levels) > 1]
    found = _in_folders([levels for levels in files if len(levels) > 2])
    if not found.names and found.doubt and _are_stray(files):
        found = CameraFolders()
    names = [stated(levels[-1], levels[0]) for levels in files]
    sure = sum(name.sure for name in names) > len(files) / 2 or _recur(files, names)
    if sum(bool(name.camera) for name in names) <= len(files) / 2:
        some = () if found.names else _perhaps([levels for levels, name in zip(files, names, strict=True) if name.sure])
        return Cameras(found.names, doubt=found.doubt, notes=(*_notes(files, found), *some))
    clash = _clash(files, names, found)
    if sure and not (found.named and found.names) and (clash or found.doubt or not found.names):
        return Cameras(by_file=True, notes=(_from_files(files),))
    notes = _notes(files, found) if sure or found.names else (*_notes(files, found), *_perhaps(files))
    return Cameras(found.names, doubt=clash or found.doubt, notes=notes)


def _in_folders(files: Sequence[Levels]) -> CameraFolders:
    """Return which of the folders inside people's are cameras, by their names and by who shares them."""
    middle = [(levels[0], [name for name in levels[1:-1] if not is_aside(name)]) for levels in files]
    middle = _below_constant([(person, names) for person, names in middle if names])
    if not middle:
        return CameraFolders()
    named = _named([names for _, names in middle])
    if all(any(name in named for name in names) for _, names in middle):
        chosen = [(person, names, next(name for name in names if name in named)) for person, names in middle]
        return CameraFolders(named, named=True, doubt=_above(chosen) or _below(chosen, sure=True))
    chosen = [(person, names, names[0]) for person, names in middle]
    first = frozenset(name for _, _, name in chosen)
    people: dict[str, set[str]] = {}
    for person, _, name in chosen:
        people.setdefault(name, set()).add(person)
    if all(IDENTITY_NUMBER.fullmatch(person) and SHORT_NUMBER.fullmatch(name) for person, _, name in chosen):
        return CameraFolders(first, doubt=_below(chosen, sure=False))
    shared = sum(len(of) for of in people.values() if len(of) > 1)
    if 2 * shared < sum(map(len, people.values())):
        few = "few of them are" if shared else "none of them is"
        doubt = (
            f"the folders inside them ({listed(sorted(first))}) are not named like cameras, and {few} in several "
            "people's folders, as cameras are"
        )
        return CameraFolders(doubt=doubt)
    if all(IDENTITY_NUMBER.fullmatch(name) for name in first) and are_people([person for person, _, _ in chosen]):
        return CameraFolders()  # tracks of one person
    if named:  # next to cam1, a folder of one person is not a camera
        chosen = [entry for entry in chosen if entry[2] in named or len(people[entry[2]]) > 1]
    return CameraFolders(frozenset(name for _, _, name in chosen), doubt=_below(chosen, sure=False))


def _below_constant(middle: Sequence[tuple[str, list[str]]]) -> list[tuple[str, list[str]]]:
    """Return the folders inside people's, without first levels that are one and the same folder in all of them.

    Such a folder is a camera only if it is named like one, or numbered in the folders of numbered people.
    """
    while len({names[0] for _, names in middle}) == 1 < len({person for person, _ in middle}):
        name = middle[0][1][0]
        numbered = SHORT_NUMBER.fullmatch(name) and all(IDENTITY_NUMBER.fullmatch(person) for person, _ in middle)
        if numbered or looks_like_camera([name]):
            break
        middle = [(person, names[1:]) for person, names in middle if len(names) > 1]
    return list(middle)


def _are_stray(files: Sequence[Levels]) -> bool:
    """Return whether few images are in folders inside people's, and next to images of theirs."""
    direct = {levels[0] for levels in files if len(levels) == 2}
    deep = [levels[0] for levels in files if len(levels) > 2]
    return set(deep) <= direct and 2 * len(deep) < len(files)


def _named(paths: Sequence[Sequence[str]]) -> frozenset[str]:
    """Return the folders that are named like cameras or places; short names such as c01 only if all next to them are.

    Where some are surely named like cameras (cam1), places around or inside them are not cameras.
    """
    found: set[str] = set()
    for depth in range(max(map(len, paths))):
        level = {names[depth] for names in paths if len(names) > depth}
        found |= level if looks_like_camera(sorted(level)) else {name for name in level if is_camera(name)}
    sure = {name for name in found if is_camera(name)}
    return frozenset(sure if all(any(name in sure for name in names) for names in paths) else found)


def _above(chosen: Sequence[tuple[str, Sequence[str], str]]) -> str:
    """Return a doubt if a camera is inside several other folders: cam1 of one building is not that of another."""
    holders: dict[str, set[tuple[str, ...]]] = {}
    for _, names, camera in chosen:
        holders.setdefault(camera, set()).add(tuple(names[: list(names).index(camera)]))
    for camera, above in holders.items():
        if len(above) > 1:
            some = sorted("/".join(names) or "no folder" for names in above)
            return f"the folder {spelled(camera)} inside them is in several further folders ({listed(some)})"
    return ""


def _below(chosen: Sequence[tuple[str, Sequence[str], str]], *, sure: bool) -> str:
    """Return a doubt if cameras have folders inside that may be people or cameras.

    Numbers in the folders of numbered people may not, if the cameras are `sure`.
    """
    below: dict[str, None] = {}
    for person, names, camera in chosen:
        inside = names[list(names).index(camera) + 1 :]
        below |= dict.fromkeys(name for name in inside if not (sure and person.isdecimal() and name.isdecimal()))
    if len(below) < 2:
        return ""
    return (
        f"two and more levels below them are further folders ({listed(sorted(below))}), which may be people or cameras"
    )


def _recur(files: Sequence[Levels], names: Sequence[Stated]) -> bool:
    """Return whether numbers such as c1 recur among the files of one person, and of several: they count no files."""
    seen = Counter((levels[0], name.camera) for levels, name in zip(files, names, strict=True))
    people = Counter(camera for _, camera in seen if camera)
    return max(people.values(), default=0) > 1 and any(camera and number > 1 for (_, camera), number in seen.items())


def _clash(files: Sequence[Levels], names: Sequence[Stated], found: CameraFolders) -> str:
    """Return how the names of files contradict the folders that were taken for cameras; empty if they agree."""
    reading = Cameras(found.names)
    numbers: dict[str, dict[str, str]] = {}
    for levels, name in zip(files, names, strict=True):
        folder = reading.of(levels)
        if folder and name.camera:
            numbers.setdefault(folder, {}).setdefault(plain_number(name.camera), levels[-1])
    if folder := _disagree(numbers):
        some = listed(list(numbers[folder].values())[:2])
        return f"the file names state other cameras than the folder {spelled(folder)} inside them, such as {some}"
    alone = [number for cameras in numbers.values() for number in cameras]
    if len(alone) == len(set(alone)):
        return ""
    several = listed(sorted(numbers))
    return f"the file names state fewer cameras than there are folders inside them ({several})"


def _notes(files: Sequence[Levels], found: CameraFolders) -> tuple[str, ...]:
    """Return notes on the folders around people's files that are not used, and on another reading."""
    unused: dict[str, None] = {}
    for levels in files:
        inside = list(levels[1:-1])
        camera = next((place for place, name in enumerate(inside) if name in found.names), len(inside))
        unused |= dict.fromkeys(inside[:camera])
    notes = []
    if unused:
        more = "" if found.names else " A CSV can name the cameras."
        notes.append(f"Folders inside that are not named like cameras are not used: {listed(sorted(unused))}.{more}")
    people = sorted({levels[0] for levels in files})
    words = all(re.search(r"[^\W\d_]{2}", name) for name in found.names)
    plain = not are_people(people) and not any(map(may_be_several, people))
    if found.names and not found.named and words and plain and people_below_cameras(files):
        notes.append("If the outer folders are cameras, and those inside are people: --layout camera-folders.")
    return tuple(notes)


def people_below_cameras(files: Sequence[Levels]) -> bool:
    """Return whether outer folders may be cameras and those inside people: nothing in the names contradicts it.

    Args:
        files: The levels of each file: the outer folder, the folders inside, the file's name.
    """
    cameras: dict[str, set[str]] = {}
    people: dict[str, set[str]] = {}
    for levels in files:
        if len(levels) < 3 or looks_like_camera([levels[1]]):
            return False
        if is_aside(levels[1]) and not SUBJECT.fullmatch(levels[1]):
            return False
        said = stated(levels[-1], levels[1])
        if said.camera:
            cameras.setdefault(levels[0], set()).add(plain_number(said.camera))
        if said.identity.isdecimal() and levels[1].isdecimal() and not same_number(said.identity, levels[1]):
            return False
        people.setdefault(levels[1], set()).add(levels[0])
    return not _disagree(cameras) and any(len(outer) > 1 for outer in people.values())


def _disagree(cameras: Mapping[str, Collection[str]]) -> str:
    """Return the first folder whose files state other cameras than its name, or several; empty if there is none."""
    for folder, numbers in cameras.items():
        digits = "".join(sign for sign in folder if sign.isdecimal())
        numbered = digits and looks_like_camera([folder]) and not is_place(folder)
        if len(numbers) > 1 or (numbered and plain_number(digits) not in numbers):
            return folder
    return ""


def _from_files(files: Sequence[Levels]) -> str:
    example = next(levels for levels in files if stated(levels[-1], levels[0]).camera)
    camera = stated(example[-1], example[0]).camera
    unused = sorted({name for levels in files for name in levels[1:-1]})
    more = f" The folders inside ({listed(unused)}) are not used." if unused else ""
    return f"The cameras are read from the file names: {spelled(example[-1])} names camera {camera}.{more}"


def _perhaps(files: Sequence[Levels]) -> tuple[str, ...]:
    """Return a note on file names that may state cameras, but are not read; none without such files."""
    example = next((levels[-1] for levels in files if stated(levels[-1], levels[0]).camera), None)
    if example is None:
        return ()
    what = f"Some file names may state cameras, such as {spelled(example)}, but they are not read."
    return (f"{what} Without cameras, the evaluation leaves out no gallery image. A CSV can name the cameras.",)
