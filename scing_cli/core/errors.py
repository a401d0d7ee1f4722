"""User errors. Each message says what is wrong, where, and what to do next."""

UNREADABLE_REMEDY = (
    "Repair or remove it. Or run scing prepare, which marks such images with the reason in its manifest, and pass "
    "that manifest with --data (add --split all if its rows have no split)."
)
INDEX_AGAIN = "scing embed --force, with the options of before: --output, --run or --model, --images or --data."
WRITE_REMEDY = "Make room there, or choose another folder. The previous file is unchanged."


def duration(seconds: float) -> str:
    """Return a time in words.

    >>> duration(8), duration(200), duration(9000)
    ('8 s', '3 min', '2.5 h')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun.

    >>> counted(1, "file"), counted(1_200, "identity", "identities")
    ('1 file', '1,200 identities')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def agreeing(number: int, one: str, many: str) -> str:
    """Return the form of a verb or a noun that agrees with a number.

    >>> agreeing(1, "is", "are"), agreeing(0, "is", "are")
    ('is', 'are')
    """
    return one if number == 1 else many


def share(number: int, total: int, noun: str, verb: str, verbs: str) -> str:
    """Return how many of some things, with a verb that agrees with it.

    >>> share(1, 3, "row", "has", "have"), share(2, 1_000, "row", "is", "are")
    ('1 of 3 rows has', '2 of 1,000 rows are')
    """
    return f"{number:,} of {counted(total, noun)} {agreeing(number, verb, verbs)}"


def spelled(name: object) -> str:
    r"""Return a name from outside on one line, with unprintable characters escaped.

    The name can then neither fake a line of a message nor colour or reorder the text around it.

    >>> spelled("a\n\x1b[31mb\u202e.jpg")
    'a\\n\\x1b[31mb\\u202e.jpg'
    """
    text = str(name)
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def one_line(error: BaseException) -> str:
    """Return the error text of a third-party library on one line, escaped: it may quote names from a file."""
    return spelled(" ".join(str(error).split()))


class ScingWarning(UserWarning):
    """What the library warns of where no reporter was given."""


class ScingError(Exception):
    """A user error; the command line prints it without a traceback and exits with 2.

    Args:
        what: What is wrong, with the value and where it was found.
        remedy: What to do next; printed on a separate line.
    """

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what, remedy)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what}\n{self.remedy}" if self.remedy else self.what


class SettingError(ScingError):
    """An option or a line of a settings file has an invalid value."""


class DataError(ScingError):
    """A data set, manifest or image cannot be used as it is."""


class ImageError(DataError):
    """One image file cannot be decoded; the message names it."""


class WeightsError(ScingError):
    """A model, a tag or a weights file is unknown, missing or does not fit."""


class RunError(ScingError):
    """A run folder lacks a required file, or contains one that does not fit."""


class IndexFileError(ScingError):
    """An index or its rows are missing, damaged, or made by another model."""


class IndexHeldError(IndexFileError):
    """Another process is writing an index."""


class TrainingError(ScingError):
    """Training cannot continue: a loss is not finite, or memory ran out."""


class InterruptionError(ScingError):
    """Ctrl-C or SIGTERM stopped a training stage or an `embed`; finished work is saved, the remedy says how to resume.

    It replaces KeyboardInterrupt but derives from Exception. An `except Exception` around a library call catches it,
    and must raise it again if an interruption is to end the program.

    Args:
        what: How far the work got.
        remedy: How to resume.
        number: The signal's number.
        again: Whether the remedy is the same command again; the command line then shows it.
    """

    def __init__(self, what: str, remedy: str, *, number: int, again: bool = False) -> None:
        super().__init__(what, remedy)
        self.number = number
        self.again = again


class NoTruthError(ScingError):
    """A query has no true match left, so its average precision is undefined."""
