"""What can go wrong and be mended by the user: one message that says what, where, and what to do next."""

UNREADABLE_REMEDY = (
    "Mend or remove it; or let scing prepare write a manifest, which marks such images with the reason, and give that "
    "with --data (with --split all where its rows name no split)."
)
WRITE_REMEDY = "Make room there, or choose another place; the former file is untouched."


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun.

    >>> counted(1, "file"), counted(1_200, "identity", "identities")
    ('1 file', '1,200 identities')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def spelled(name: object) -> str:
    r"""Return a name from outside on one line, what is not printable in it spelled out.

    So it can neither forge a line of a message, nor colour or reorder what stands around it.

    >>> spelled("a\n\x1b[31mb\u202e.jpg")
    'a\\n\\x1b[31mb\\u202e.jpg'
    """
    text = str(name)
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def one_line(error: BaseException) -> str:
    """Return what a foreign library says of a failure on one line; it may quote names from a file."""
    return spelled(" ".join(str(error).split()))


class ScingWarning(UserWarning):
    """What the library warns of where no reporter was given."""


class ScingError(Exception):
    """A failure the user can mend; the command line prints it without a traceback and exits with 2.

    Args:
        what: What is wrong, with the value and the place.
        remedy: What to do next; printed on a line of its own.
    """

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what, remedy)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what}\n{self.remedy}" if self.remedy else self.what


class SettingError(ScingError):
    """An option or a line of a settings file has a value that cannot be used."""


class DataError(ScingError):
    """A data set, manifest or image cannot be used as it is."""


class ImageError(DataError):
    """One image file cannot be decoded; the message names it."""


class WeightsError(ScingError):
    """A model, a tag or a weights file is unknown, missing or does not fit."""


class RunError(ScingError):
    """A run folder lacks what is needed, or holds what does not fit."""


class IndexFileError(ScingError):
    """An index or its rows are missing, damaged, or made by another model."""


class TrainingError(ScingError):
    """Training cannot go on: a loss that is not finite, or memory that ran out."""


class InterruptionError(ScingError):
    """Ctrl-C or SIGTERM ended a training or an `embed`; what was done is saved, the remedy says how to go on.

    It stands for a KeyboardInterrupt, and is an Exception nevertheless: an `except Exception` around a call of the
    library catches it, and must raise it again where an interruption shall end the program.

    Args:
        what: How far it came.
        remedy: How to go on.
        number: Of the signal.
    """

    def __init__(self, what: str, remedy: str, *, number: int) -> None:
        super().__init__(what, remedy)
        self.number = number


class NoTruthError(ScingError):
    """A query has no true match left, so that no average precision exists for it."""
