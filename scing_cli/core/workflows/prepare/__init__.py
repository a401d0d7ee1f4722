"""`scing prepare`: look at a data set, draw its contact sheet, write its manifest."""
