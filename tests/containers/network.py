"""Docker network of the containers and this machine."""

from testcontainers.core.network import Network

from .leftovers import LABELS, is_removed, remove_at_exit, remove_leftovers


class HostNetwork:
    """Bridge network: containers reach each other by name, and this machine at `host`."""

    def __init__(self) -> None:
        self.made = Network(docker_network_kw={"driver": "bridge", "labels": LABELS})
        """The network; it exists after `create`."""
        self.host = ""
        """This machine's address in the network."""

    def create(self) -> None:
        """Create it, and remove what a killed run left."""
        remove_leftovers()
        remove_at_exit(self.made, self.made.remove)
        self.made.create()
        network = self.made._unwrap_network
        network.reload()
        self.host = network.attrs["IPAM"]["Config"][0]["Gateway"]

    def remove(self) -> None:
        """Remove it, if it was created; its containers must be removed before."""
        if self.host:
            self.made.remove()
            is_removed(self.made)
        self.made._docker.client.close()
