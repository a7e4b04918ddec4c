# Sources, programs and tests of this part are listed here.
