"""The test modules that do not run on containers, with the reason."""

from typing import Final

EMBEDDED_ONLY: Final = {
    "test_failover.py": "copies the primary's files to a standby, and runs Sentinels",
    "test_foreign_payments.py": "the second system shares the simulator of the first",
    "test_hung_replica.py": "several processes of a service behind a balancer",
    "test_mutual_tls.py": "the embedded stack issues the certificates and terminates TLS for the stores",
    "test_restores.py": "copies the files of the stores",
    "test_p7_no_personal_data.py": "reads environments and command lines, and metrics that containers do not publish",
    "test_rolling_restarts.py": "several processes of a service behind a balancer",
}
