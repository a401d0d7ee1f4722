"""SCING: person re-identification by selective cross-modal prompt tuning. Importing this costs nothing."""

__version__ = "0.1.0"
