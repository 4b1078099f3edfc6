"""`virtmux tmux`: a tmux session with a window for each console.

naming     what windows are called, and by what they are found again
plan       what is to be done to the windows, from what is known of the consoles
session    one session of a tmux server; the only file that knows tmux's commands
step       plan and session brought together, by one process at a time
opening    the command that a person gives: makes or joins the session
follow     the command that lives in the session's first window and keeps the others in step
"""
