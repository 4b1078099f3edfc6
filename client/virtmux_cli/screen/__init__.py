"""What a terminal would show: `virtmux screen`, and `attach --replay screen`.

emulator          a guest's bytes           -> a TerminalScreen           (pyte, imported only where it is needed)
terminal_screen   its cells, cursor and modes: pyte's, with what that lacks
drawing           cells                     -> text, colours, a repaint
repainted         output of the past        -> one repaint, for attach
window            how much of the output makes a screen
command           a console's last output   -> stdout
"""
