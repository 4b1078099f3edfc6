"""`virtmux completion`: the script with which a shell completes `virtmux`."""

import click

from virtmux_cli.main import COMPLETE_VARIABLE, cli
from virtmux_cli.output import write
from virtmux_cli.shells import SHELLS


@click.command("completion", short_help="Print the script with which a shell completes.")
@click.argument("shell", metavar="bash|zsh|fish", type=click.Choice(list(SHELLS)))
def command(shell: str) -> int:
    """Print the script with which a shell completes commands, options, and consoles by name.

    For bash, in ~/.bashrc: eval "$(virtmux completion bash)". For zsh, in ~/.zshrc behind compinit:
    eval "$(virtmux completion zsh)". For fish: virtmux completion fish > ~/.config/fish/completions/virtmux.fish
    """
    return write(SHELLS[shell](cli, {}, "virtmux", COMPLETE_VARIABLE).source().encode())
