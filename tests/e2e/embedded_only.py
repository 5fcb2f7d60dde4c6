"""What of this folder has no place on containers, and why. Everything else runs there unchanged."""

from typing import Final

EMBEDDED_ONLY: Final = {
    "test_mutual_tls.py": "the embedded stack issues the certificates, and puts TLS in front of the stores",
    "test_p7_no_personal_data.py": "reads what this machine tells of a process: its environment and command line; "
    "and metrics, which a container publishes no port for",
    "harness/test_canaries.py": "looks into texts, and starts nothing",
    "harness/test_checkpoint.py": "a proxy's own logic, in this process",
    "harness/test_grpc_proxy.py": "a proxy and servers in this process",
    "harness/test_http_proxy.py": "a proxy and servers in this process",
}
"""Reasons by file, or by file and test as pytest writes them."""
