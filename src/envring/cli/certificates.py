# SPDX-License-Identifier: MIT
"""`envring serve cert`: certificates for tls:// in a local network."""

from __future__ import annotations

from collections.abc import Sequence

import click

from envring.gateways.certificates import DAYS, make, own_names


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("hosts", nargs=-1)
@click.option("--directory", "-d", default="envring-certs", help="Where to write the files.")
@click.option("--client", "clients", multiple=True, help="Name of a caller; client.")
@click.option("--server", default="server", help="Name of the host's files.")
@click.option("--no-server", is_flag=True, help="Certificates for callers only.")
@click.option("--days", type=click.IntRange(1), default=DAYS, help="How long they are valid.")
def cert(
    hosts: Sequence[str],
    directory: str,
    clients: Sequence[str],
    server: str,
    no_server: bool,
    days: int,
) -> None:
    """Makes certificates for a host that callers reach as HOSTS: names, addresses.

    Without HOSTS, those of this machine. An authority (ca.pem, ca.key) that is in the directory
    signs these, too; else a new one is made. Nothing is overwritten.
    """
    hosts = hosts or own_names()
    made = make(
        directory,
        hosts,
        server=None if no_server else server,
        clients=clients or ("client",),
        days=days,
    )
    for path in made:
        click.echo(path)
    first = clients[0] if clients else "client"
    if not no_server:
        click.echo(f"valid for: {', '.join(hosts)}")
        click.echo(
            f"\nenvring serve ENV_ID --listen tls://0.0.0.0:7777 --cert {directory}/{server}.pem "
            f"--certkey {directory}/{server}.key --client-ca {directory}/ca.pem"
        )
    click.echo(
        f'remotes="tls://{hosts[0]}:7777?ca={directory}/ca.pem&cert={directory}/{first}.pem'
        f'&certkey={directory}/{first}.key"'
    )
    click.echo(f"\n{directory}/ca.key signs further certificates: keep it to yourself.")
