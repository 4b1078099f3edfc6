"""The commands that scripts use: `send`, `expect`, `wait`.

keys       names of keys                                    -> bytes
parts      the command line's texts, keys, files, secrets   -> pieces of input
sending    pieces                                           -> Console.write, paced
script     a file                                           -> steps
steps      steps                                            -> all of these
"""
