"""The commands that scripts use: `send`, `expect`, `wait`.

keys       names of keys                                    -> bytes
parts      the command line's texts, keys, files, secrets   -> pieces of input
sending    pieces                                           -> Console.write, paced
script     steps of a file                                  -> all of these
"""
