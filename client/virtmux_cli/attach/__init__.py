"""`virtmux attach`: a person, or a pipe, at a console. Others here use what they need of it.

command    the command line
session    the guest's output to stdout, until it leaves
input      stdin to the guest; typeahead is what waits between them
state      each record             -> what is done about it
abridged   what is done about them -> the same without what is of no use in the past
policy     an end                  -> ride it out, or leave with its status
replayed   output of the past      -> the same without what acts on the terminal
display    output and lines, where both go to one terminal
guest_terminal, modes, pen, unfinished_line, unended, clipboard     what the guest has made of that terminal
talk       what is said on stderr: lines, or JSON
company    who else is there, in words; gathering says when
input_watch     what is said of the input's fate
escape     the escape key
"""
