"""The commands of `scing`: parse options, call one function of core/workflows, print tables or JSON."""
