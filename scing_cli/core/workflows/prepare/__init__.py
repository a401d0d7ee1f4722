"""`scing prepare`: inspect a data set, draw its contact sheet, write its manifest."""
