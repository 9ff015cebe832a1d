"""The exit codes that more than one part of the program speaks of; what each means is told by `--help`."""

BELOW_THE_BAR = 3
WRONG_USAGE = 64
NODE_UNFIT = 69
DEFECT = 70
GO_ON_LATER = 75
