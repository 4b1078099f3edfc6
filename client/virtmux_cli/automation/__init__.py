"""The commands that scripts use: `send`, `expect`, `wait`.

keys       names of keys                                    -> bytes
parts      the command line's texts, keys, files, secrets   -> pieces of input
sending    pieces                                           -> Console.write, paced
script     a file                                           -> steps
steps      steps                                            -> all of these
console    a place at CONSOLE, and what is said of what fails there
expected   patterns                                         -> a match, in time; match_text -> how it is printed
"""
