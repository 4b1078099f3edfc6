"""What a terminal would show: `virtmux screen`, and `attach --replay screen`.

emulator   a guest's bytes           -> a TerminalScreen           (pyte, imported only where it is needed)
drawing    cells                     -> text, colours, a repaint
command    a console's last output   -> stdout
"""
