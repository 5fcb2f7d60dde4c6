"""The devstack command: runs Holdfast on this machine until Ctrl-C."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from devstack.certificates import HOLDERS, CertificateFolder, NoAuthority
from devstack.demo_purchase import DemoFailed, DemoPurchase
from devstack.layout import AlreadyRunning, built_shop, home_from
from devstack.ports import LOOPBACK
from devstack.processes import ProcessFailed
from devstack.stack import Stack
from devstack.stack_options import StackOptions
from devstack.stripe_access import UnusableStripeKeys, find_real_stripe

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_FAILURES = (AlreadyRunning, ProcessFailed, DemoFailed, UnusableStripeKeys)


class _StopSignal(BaseException):
    """SIGINT, SIGTERM or SIGHUP arrived."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command. Exits with 0 after a stop signal and with 1 after a failure."""
    arguments = _parser().parse_args(argv)
    if arguments.command == "certs":
        _make_certificates(arguments)
        return
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = LOOPBACK
    for number in _STOP_SIGNALS:
        signal.signal(number, _stop)
    try:
        _run(arguments)
    except _StopSignal:
        _print("stopped")
    except _FAILURES as failure:
        sys.exit(f"devstack: {failure}")


def _run(arguments: argparse.Namespace) -> None:
    stack = Stack(
        home_from(os.environ, Path.cwd()),
        real_stripe=find_real_stripe(os.environ),
        options=StackOptions(
            gateways=arguments.gateways,
            reconcilers=arguments.reconcilers,
            gateway_port=arguments.port,
            tls=arguments.tls,
            shop=built_shop(Path.cwd()),
        ),
        report=_print,
    )
    try:
        stack.start()
        if arguments.command == "demo":
            _print_shop(stack)
            _print("\nOne purchase, from the first request to the order:")
            DemoPurchase(stack, _print).run()
        if not arguments.once:
            _follow_log(stack)
    finally:
        # A second Ctrl-C must not interrupt the cleanup.
        for number in _STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        stack.stop()


def _make_certificates(arguments: argparse.Namespace) -> None:
    folder = home_from(os.environ, Path.cwd()).certs_dir
    certificates = CertificateFolder(folder)
    try:
        if arguments.add_authority:
            certificates.add_authority()
        if arguments.renew:
            certificates.renew()
        if arguments.keep_newest_authority:
            certificates.keep_newest_authority()
    except NoAuthority as failure:
        sys.exit(f"devstack: {failure}")
    certificates.make()
    _print(f"Certificates of {', '.join(HOLDERS)} and their test authority are in {folder}.")


def _print_shop(stack: Stack) -> None:
    if shop := stack.facts.shop:
        _print(f"\n    The shop is {shop}")


def _follow_log(stack: Stack) -> None:
    facts = stack.facts
    _print_shop(stack)
    _print(f"\nThe gateway is {facts.gateway} (try {facts.gateway}/api/catalog).")
    _print(f"Stripe's API is {facts.stripe_api}. Keys and addresses are in {stack.home.stack_file}.")
    _print(f"Ctrl-C stops everything. The log follows; it is kept in {stack.home.log_dir}.\n")
    stack.log.echo_to(sys.stdout)
    while True:
        signal.pause()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="devstack", description="Run Holdfast on this machine, on loopback only.")
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="start everything, make and explain one purchase, keep running")
    demo.add_argument("--once", action="store_true", help="stop after the purchase")
    up = commands.add_parser("up", help="start everything and keep running")
    up.set_defaults(once=False)
    for command in (demo, up):
        command.add_argument("--gateways", type=int, default=1, help="number of gateway processes")
        command.add_argument("--reconcilers", type=int, default=1, help="number of reconcilers")
        command.add_argument("--port", type=int, default=None, help="the first gateway's port (default: a free one)")
        command.add_argument("--tls", action="store_true", help="mutual TLS between all services and stores")
    certs = commands.add_parser("certs", help="make a test authority and certificates, and keep valid ones")
    certs.add_argument("--renew", action="store_true", help="replace every certificate")
    certs.add_argument(
        "--add-authority", action="store_true", help="trust a new authority too, and sign with it from now on"
    )
    certs.add_argument("--keep-newest-authority", action="store_true", help="trust only the newest authority")
    return parser


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise _StopSignal


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
