"""A network that containers share with this machine and with nobody else."""

from testcontainers.core.network import Network

from .leftovers import LABELS, keep_no_longer, remove_at_exit, remove_leftovers


class HostNetwork:
    """A bridge: its containers find each other by name, and this machine at one address."""

    def __init__(self) -> None:
        self.made = Network(docker_network_kw={"driver": "bridge", "labels": LABELS})
        """The network, which exists from `create` on."""
        self.host = ""
        """This machine's address in it."""

    def create(self) -> None:
        """Make it, and clear away what a killed run left of its own."""
        remove_leftovers()
        remove_at_exit(self.made, self.made.remove)
        self.made.create()
        network = self.made._unwrap_network
        network.reload()
        self.host = network.attrs["IPAM"]["Config"][0]["Gateway"]

    def remove(self) -> None:
        """Delete it; its containers must be gone. Does nothing if it was never made."""
        if self.host:
            self.made.remove()
            keep_no_longer(self.made)
        self.made._docker.client.close()
