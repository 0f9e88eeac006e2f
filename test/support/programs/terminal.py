# A program that draws on its terminal: changes its modes, tells of the size when it is resized, and answers single characters.
import os
import signal
import sys
import termios


def tell(*words):
    os.write(1, (" ".join(str(word) for word in words) + "\r\n").encode())


def size():
    columns, rows = os.get_terminal_size(1)
    return f"{rows}x{columns}"


def modes():
    local = termios.tcgetattr(0)[3]
    return " ".join(name for name, bit in (("echo", termios.ECHO), ("icanon", termios.ICANON)) if local & bit) or "raw"


before = termios.tcgetattr(0)
settings = termios.tcgetattr(0)
settings[3] &= ~(termios.ECHO | termios.ICANON)
termios.tcsetattr(0, termios.TCSANOW, settings)
signal.signal(signal.SIGWINCH, lambda *_: tell("resized", size()))
tell("ready", size(), modes())
while True:
    key = os.read(0, 1)
    if key == b"m":
        tell("modes", modes(), "size", size())
    elif key == b"f":
        tell("foreground", os.tcgetpgrp(0) == os.getpgrp())
    elif key == b"q":
        termios.tcsetattr(0, termios.TCSANOW, before)
        tell("bye")
        sys.exit(0)
